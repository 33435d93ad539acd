import { parseEndpoint } from "../core/upstream-address.ts";
import { GatewayError } from "../core/errors.ts";
import { toIso } from "../http/fields.ts";
import type { Injection, Service, ServiceSettings } from "./model.ts";
import { refusedLiteral } from "./rules.ts";
import type { ServiceBody, ServiceInput } from "./schemas.ts";

/** What a request says about a service, in our model. The id, uid, credential and times are the caller's to add. */
export type ServiceDefinition = Pick<Service, "description" | "origin" | "basePath" | "settings">;

/** @throws GatewayError `request.invalid` for an endpoint that connections would be refused to anyway */
export function toDefinition(input: ServiceInput): ServiceDefinition {
  const address = parseEndpoint(input.endpoint);
  const problem = address ? refusedLiteral(address.origin, input.allow_addresses) : "invalid endpoint";
  if (!address || problem !== null) {
    const message = problem ?? "invalid endpoint";
    throw new GatewayError("request.invalid", {
      message: `endpoint: ${message}`,
      fields: [{ path: "endpoint", message }],
    });
  }
  return { description: input.description, ...address, settings: toSettings(input) };
}

function toSettings(input: ServiceInput): ServiceSettings {
  return {
    injection: toInjection(input),
    methods: input.methods,
    paths: input.paths,
    timeouts: {
      connectMs: input.timeouts.connect_ms,
      headersMs: input.timeouts.headers_ms,
      idleMs: input.timeouts.idle_ms,
      totalMs: input.timeouts.total_ms,
    },
    http2: input.http2,
    allowAddresses: input.allow_addresses,
    allowHeaders: input.allow_headers,
    forwardCookies: input.forward_cookies,
    forwardClientAddress: input.forward_client_address,
    allowKeyInQuery: input.allow_key_in_query,
    credentialEcho: input.credential_echo,
    identityAssertion: input.identity_assertion,
    identityAudience: input.identity_audience,
  };
}

function toInjection({ injection, credential_header: header = "" }: ServiceInput): Injection {
  if (injection === undefined) {
    if (header.toLowerCase() === "authorization") return { kind: "bearer" };
    return { kind: "header", name: header === "" ? "X-API-Key" : header, prefix: "", template: null };
  }
  switch (injection.type) {
    case "header":
      return { kind: "header", name: injection.name, prefix: injection.prefix, template: injection.template };
    case "bearer":
      return { kind: "bearer" };
    case "basic":
      return { kind: "basic", username: injection.username };
    case "query":
      return { kind: "query", name: injection.name };
  }
}

function fromInjection(injection: Injection): ServiceBody["injection"] {
  switch (injection.kind) {
    case "header":
      return { type: "header", name: injection.name, prefix: injection.prefix, template: injection.template };
    case "bearer":
      return { type: "bearer" };
    case "basic":
      return { type: "basic", username: injection.username };
    case "query":
      return { type: "query", name: injection.name };
  }
}

/** @param rootKeyId public id of its credential; "" for none */
export function toBody(service: Service, rootKeyId: string): ServiceBody {
  const { settings } = service;
  return {
    id: service.id,
    description: service.description,
    endpoint: service.origin + service.basePath,
    root_key_id: rootKeyId,
    credential_header: shortForm(settings.injection),
    injection: fromInjection(settings.injection),
    methods: copy(settings.methods),
    paths: copy(settings.paths),
    timeouts: {
      connect_ms: settings.timeouts.connectMs,
      headers_ms: settings.timeouts.headersMs,
      idle_ms: settings.timeouts.idleMs,
      total_ms: settings.timeouts.totalMs,
    },
    http2: settings.http2,
    allow_addresses: [...settings.allowAddresses],
    allow_headers: copy(settings.allowHeaders),
    forward_cookies: settings.forwardCookies,
    forward_client_address: settings.forwardClientAddress,
    allow_key_in_query: settings.allowKeyInQuery,
    credential_echo: settings.credentialEcho,
    identity_assertion: settings.identityAssertion,
    identity_audience: settings.identityAudience,
    managed_by: service.managedBy,
    disabled: service.disabledAtMs !== null,
    created_at: toIso(service.createdAtMs),
    updated_at: toIso(service.updatedAtMs),
  };
}

function shortForm(injection: Injection): string {
  if (injection.kind === "bearer") return "Authorization";
  const isPlain = injection.kind === "header" && injection.prefix === "" && injection.template === null;
  return isPlain ? injection.name : "";
}

function copy(list: readonly string[] | null): string[] | null {
  return list === null ? null : [...list];
}
