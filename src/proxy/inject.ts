import { GatewayError } from "../core/errors.ts";
import type { LiveService } from "../gate/catalog.ts";
import type { Injection } from "../services/model.ts";
import { createEchoMask, type EchoMask } from "./echo-mask.ts";
import type { HeaderInjection } from "./request-headers.ts";

/** How one service's credential enters its requests. Holds the secret: never log or serialize it. */
export interface InjectionPlan {
  readonly header: HeaderInjection | null;
  /** Name and percent-encoded value for the query. */
  readonly query: { readonly name: string; readonly pair: string } | null;
  /** Masks the credential, in every form in which it is sent, in responses. Null when the service turns that off. */
  readonly mask: EchoMask | null;
}

export interface Injector {
  /** Synchronous for a service seen recently. Call it only for admitted requests: a refused one decrypts nothing. */
  planFor(target: LiveService): InjectionPlan | Promise<InjectionPlan>;
}

const NOTHING: InjectionPlan = { header: null, query: null, mask: null };

/**
 * Plans live exactly as long as the catalog's entry of the service, which is dropped when the service or
 * its credential changes: a request that began before a change ends with what it began with.
 *
 * @param deps.reveal opens the sealed secret of a service's credential; throws where it cannot, or may not be sent there
 */
export function createInjector(deps: {
  reveal(target: LiveService, credentialUid: string): Promise<string>;
}): Injector {
  const plans = new WeakMap<LiveService, InjectionPlan | Promise<InjectionPlan>>();
  return {
    planFor(target) {
      const known = plans.get(target);
      if (known) return known;
      const { credentialUid } = target.service;
      if (credentialUid === null) {
        plans.set(target, NOTHING);
        return NOTHING;
      }
      const started = openPlan(target, () => deps.reveal(target, credentialUid)).then(
        (plan) => {
          plans.set(target, plan);
          return plan;
        },
        (cause: unknown) => {
          plans.delete(target);
          throw new GatewayError("service.unusable", {
            detail: `service ${target.service.id}: its credential did not open`,
            cause,
          });
        },
      );
      plans.set(target, started);
      return started;
    },
  };
}

async function openPlan(target: LiveService, reveal: () => Promise<string>): Promise<InjectionPlan> {
  const { injection, credentialEcho } = target.service.settings;
  const secret = await reveal();
  const header = headerFor(injection, secret);
  // RFC 9110 §5.5. Anything else would end the header, or the process's trust in its own framing.
  if (header !== null && !/^[\t\x20-\x7e\x80-\xff]+$/.test(header.value))
    throw new Error("the secret cannot be part of a header");
  const query =
    injection.kind === "query"
      ? { name: injection.name, pair: `${encodeURIComponent(injection.name)}=${encodeURIComponent(secret)}` }
      : null;
  const forms = [
    secret,
    encodeURIComponent(secret),
    // As a JSON body quotes it, with and without the escaped slash that some writers prefer.
    JSON.stringify(secret).slice(1, -1),
    JSON.stringify(secret).slice(1, -1).replaceAll("/", "\\/"),
    ...(injection.kind === "basic" && header ? [header.value.slice("Basic ".length)] : []),
  ];
  return { header, query, mask: credentialEcho === "off" ? null : createEchoMask(forms) };
}

function headerFor(injection: Injection, secret: string): HeaderInjection | null {
  switch (injection.kind) {
    case "header":
      return {
        name: injection.name.toLowerCase(),
        value:
          injection.template === null
            ? injection.prefix + secret
            : injection.template.replaceAll("{secret}", () => secret),
      };
    case "bearer":
      return { name: "authorization", value: `Bearer ${secret}` };
    case "basic": {
      const pair = injection.username === null ? secret : `${injection.username}:${secret}`;
      return { name: "authorization", value: `Basic ${Buffer.from(pair).toString("base64")}` };
    }
    case "query":
      return null;
  }
}

/**
 * The path and query to send. Where the credential goes into the query, a parameter of the same name from
 * the client is removed, however it is encoded, so that ours is the only one.
 */
export function outboundPath(target: LiveService, path: string, query: string, plan: InjectionPlan): string {
  const base = target.service.basePath + path;
  const fullPath = base === "" ? "/" : base;
  if (plan.query === null) return query === "" ? fullPath : `${fullPath}?${query}`;
  const { name, pair } = plan.query;
  const kept = query === "" ? [] : query.split("&").filter((one) => decodeName(one) !== name);
  return `${fullPath}?${[...kept, pair].join("&")}`;
}

function decodeName(pair: string): string {
  const name = pair.split("=", 1)[0]?.replaceAll("+", " ") ?? "";
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
