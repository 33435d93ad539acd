import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { GatewayError, toGatewayError } from "../core/errors.ts";
import { requestIdFrom } from "../core/ids.ts";
import { type Admission, admit } from "../gate/admit.ts";
import { authenticate } from "../gate/authenticate.ts";
import type { LiveService } from "../gate/catalog.ts";
import { confirmStillUsable } from "../gate/confirm-still-usable.ts";
import { enforcePolicy } from "../gate/enforce-policy.ts";
import type { LiveKey, ServiceGrant } from "../gate/key-cache.ts";
import { sendHttpError } from "../http/render-error.ts";
import { rateHeaders } from "../limits/rate-headers.ts";
import { ClientGone, discardRest } from "./client-gone.ts";
import { type InjectionPlan, outboundPath } from "./inject.ts";
import { presentedKey } from "./presented-key.ts";
import { Relay, type RelayOutcome } from "./relay.ts";
import { requestBody } from "./request-body.ts";
import { outboundHeaders } from "./request-headers.ts";
import { sendWithTrailers } from "./send-with-trailers.ts";
import { type ProxyTarget, parseTarget } from "./target.ts";
import type { Exchange, ProxyDeps } from "./types.ts";

/**
 * The life of one proxied request, top to bottom. A stage returns what the next one needs or throws a
 * GatewayError; the order is the security argument. Nothing waits, hence nothing else runs in between,
 * unless a key, service or credential is seen for the first time, or a use must be recorded.
 */
export function createProxyHandler(deps: ProxyDeps) {
  return async function handleProxyRequest(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const exchange = beginExchange(req);
    try {
      const admitted = await passGate(req, exchange, deps);
      await forward(req, res, exchange, admitted, deps);
    } catch (thrown) {
      if (thrown instanceof ClientGone) {
        deps.settled(exchange);
        return;
      }
      const error = toGatewayError(thrown);
      if (error.code === "internal")
        deps.log.error({ err: error.cause ?? error, requestId: exchange.requestId }, "proxy request failed");
      endWithError(req, res, exchange, error);
      deps.settled(exchange);
    }
  };
}

export function beginExchange(req: IncomingMessage): Exchange {
  const header = req.headers["x-request-id"];
  return {
    requestId: requestIdFrom(typeof header === "string" ? header : undefined),
    method: req.method ?? "GET",
    live: null,
    serviceId: null,
    status: null,
    error: null,
    startedAt: performance.now(),
  };
}

/** A request that may be forwarded. Only {@link passGate} makes one. */
export interface Admitted {
  readonly live: LiveKey;
  readonly target: LiveService;
  readonly proxyTarget: ProxyTarget;
  readonly admission: Admission;
  readonly plan: InjectionPlan;
}

/**
 * Parse, authenticate, match, enforce, admit, open the credential: each stage refuses before the next one
 * costs anything. The same for plain requests and upgrades.
 *
 * @throws GatewayError whatever refuses the request; what admission took is then given back
 */
export async function passGate(req: IncomingMessage, exchange: Exchange, deps: ProxyDeps): Promise<Admitted> {
  const proxyTarget = parseTarget(req.url ?? "/"); //                                                     400
  const inHeader = presentedKey(req.headers);
  const secret = inHeader ?? proxyTarget.keyInQuery;
  let pendingKey = authenticate(secret, deps.clientAddress(req), deps); //                                401, 429
  if (pendingKey instanceof Promise) pendingKey = await pendingKey;
  const live = (exchange.live = pendingKey);
  const grant = matchGrant(live, proxyTarget); //                                                         400, 404
  const target = deps.catalog.peek(grant.serviceUid) ?? (await deps.catalog.load(grant.serviceUid));
  if (!target) throw new GatewayError("service.not_found");
  exchange.serviceId = target.service.id;
  // The query is not a place for keys unless this service says so; then it was no key at all.
  if (inHeader === null && !target.service.settings.allowKeyInQuery) throw new GatewayError("key.missing");
  enforcePolicy(live, grant, target, exchange.method, proxyTarget.path === "" ? "/" : proxyTarget.path); // 403, 405
  let admission = admit(live, deps); //                                                                   401, 429
  if (admission instanceof Promise) admission = await admission;
  try {
    // After every refusal, so that a refused request never decrypts a secret.
    let plan = deps.injector.planFor(target); //                                                          502
    if (plan instanceof Promise) plan = await plan;
    return { live, target, proxyTarget, admission, plan };
  } catch (failure) {
    admission.release();
    throw failure;
  }
}

/** One matcher for decision and credential: what the key may use is also what is used. */
function matchGrant(live: LiveKey, proxyTarget: ProxyTarget): ServiceGrant {
  if (proxyTarget.serviceId === null) {
    if (live.target) return live.target;
    throw new GatewayError(live.services.size === 0 ? "service.not_found" : "key.target_required");
  }
  const grant = live.services.get(proxyTarget.serviceId);
  // Not granted and not there are one answer: a key cannot probe which services exist.
  if (!grant) throw new GatewayError("service.not_found");
  return grant;
}

async function forward(
  req: IncomingMessage,
  res: ServerResponse,
  exchange: Exchange,
  admitted: Admitted,
  deps: ProxyDeps,
): Promise<void> {
  const { live, target, proxyTarget, admission, plan } = admitted;
  try {
    const { settings } = target.service;
    const pool = deps.upstreams.poolFor(target); //                                                       502
    const path = outboundPath(target, proxyTarget.path, proxyTarget.query, plan);
    let headers = outboundHeadersFor(req, exchange, admitted, path, deps);
    if (headers instanceof Promise) headers = await headers;
    let body = requestBody(req, settings.timeouts.idleMs);
    if (body instanceof Promise) body = await body;
    const confirmed = confirmStillUsable(live, deps);
    if (confirmed) await confirmed;
    // The client left meanwhile: there is nobody to ask the upstream for.
    if (res.closed || req.socket.destroyed) throw new ClientGone();

    const rate = rateHeaders(live.key.rateLimit, admission);
    let forget: () => void = () => undefined;
    const relay = new Relay({
      req,
      res,
      rules: {
        forwardCookies: settings.forwardCookies,
        origin: target.service.origin,
        basePath: target.service.basePath,
        mount: proxyTarget.mount,
        mask: plan.mask,
      },
      ownHeaders: [
        "X-Request-ID",
        exchange.requestId,
        "RateLimit",
        rate.ratelimit,
        "RateLimit-Policy",
        rate["ratelimit-policy"],
      ],
      refuseCoded: settings.credentialEcho === "strict",
      idleMs: settings.timeouts.idleMs,
      totalTimeoutMs: settings.timeouts.totalMs,
      done(outcome) {
        forget();
        admission.release();
        settle(req, res, exchange, outcome, deps);
      },
    });
    forget = deps.openRequests.add(live.key.uid, live.key.orgUid, (reason) => relay.abort(reason));
    if (body.content instanceof Readable && announcesTrailers(req) && settings.http2 !== "prior_knowledge") {
      sendWithTrailers(
        req,
        body.content,
        relay,
        { target, method: exchange.method, path, headers },
        settings.timeouts,
        deps.upstreams,
      );
      return;
    }
    dispatch(pool, relay, {
      path,
      method: exchange.method,
      headers: body.length === null ? headers : [...headers, "content-length", body.length],
      body: body.content,
      headersTimeout: settings.timeouts.headersMs,
      bodyTimeout: settings.timeouts.idleMs,
    });
  } catch (failure) {
    admission.release();
    throw failure;
  }
}

/** Only a chunked body can have trailers (RFC 9112 §7.1.2). */
function announcesTrailers(req: IncomingMessage): boolean {
  return req.headers.trailer !== undefined && req.headers["transfer-encoding"] !== undefined;
}

/** Undici reports some refusals (an invalid header, a closed pool) by throwing: they end like any other failure. */
function dispatch(pool: Dispatcher, relay: Relay, options: Dispatcher.DispatchOptions): void {
  try {
    pool.dispatch(options, relay);
  } catch (thrown) {
    relay.abort(new GatewayError("upstream.protocol", { detail: "the request could not be sent", cause: thrown }));
  }
}

/** Headers of the outbound request; a promise only where the service asks for an assertion. */
export function outboundHeadersFor(
  req: IncomingMessage,
  exchange: Exchange,
  admitted: Admitted,
  path: string,
  deps: ProxyDeps,
): string[] | Promise<string[]> {
  if (!admitted.target.service.settings.identityAssertion) return headersWith(null, req, exchange, admitted, deps);
  return assertionFor(exchange, admitted, path, deps).then((assertion) =>
    headersWith(assertion, req, exchange, admitted, deps),
  );
}

async function assertionFor(
  exchange: Exchange,
  { live, target: { service } }: Admitted,
  path: string,
  deps: ProxyDeps,
): Promise<string> {
  const assert = await deps.asserter();
  return assert({
    key: live.key,
    orgId: await deps.orgIdOf(live.key.orgUid),
    audience: service.settings.identityAudience ?? service.origin,
    method: exchange.method,
    path: path.split("?", 1)[0] ?? path,
    requestId: exchange.requestId,
  });
}

function headersWith(
  assertion: string | null,
  req: IncomingMessage,
  exchange: Exchange,
  { live, target, plan }: Admitted,
  deps: ProxyDeps,
): string[] {
  const { forwardClientAddress } = target.service.settings;
  const proto = "encrypted" in req.socket ? "https" : "http";
  return outboundHeaders({
    req,
    key: live.key,
    target,
    requestId: exchange.requestId,
    injection: plan.header,
    assertion,
    forwarded: forwardClientAddress ? { address: deps.clientAddress(req), host: req.headers.host ?? "", proto } : null,
  });
}

/** Runs once for every forwarded request, however it ended. */
function settle(
  req: IncomingMessage,
  res: ServerResponse,
  exchange: Exchange,
  outcome: RelayOutcome,
  deps: ProxyDeps,
): void {
  exchange.status = outcome.status;
  if (outcome.kind === "failed") {
    if (outcome.error.code === "internal" || outcome.error.status >= 500) {
      deps.log.warn(
        {
          requestId: exchange.requestId,
          service: exchange.serviceId,
          code: outcome.error.code,
          detail: outcome.error.message,
        },
        "upstream exchange failed",
      );
    }
    endWithError(req, res, exchange, outcome.error);
  } else discardRest(req);
  deps.settled(exchange);
}

function endWithError(req: IncomingMessage, res: ServerResponse, exchange: Exchange, error: GatewayError): void {
  exchange.error = error;
  exchange.status ??= error.status;
  if (res.closed) return;
  sendHttpError(res, error, exchange.requestId);
  discardRest(req);
}
