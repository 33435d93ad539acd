import { type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import type { LiveService } from "../gate/catalog.ts";
import type { Upstreams } from "./upstreams.ts";

export interface RawRequest {
  readonly target: LiveService;
  readonly method: string;
  readonly path: string;
  /** Alternating names and values. */
  readonly headers: readonly string[];
}

/**
 * One HTTP/1.1 request on a connection of its own, for the two things that the pooled client cannot do:
 * take a connection over (upgrades) and send trailers. The same address policy and connect timeout hold.
 */
export function openRawRequest({ target, method, path, headers }: RawRequest, upstreams: Upstreams): ClientRequest {
  const { origin, settings } = target.service;
  // Throws for an origin that is a refused address itself; names are checked when they are resolved.
  upstreams.poolFor(target);
  const url = new URL(origin);
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  const isTls = url.protocol === "https:";
  const request = (isTls ? httpsRequest : httpRequest)({
    host: hostname,
    port: url.port === "" ? (isTls ? 443 : 80) : Number(url.port),
    method,
    path,
    agent: false,
    // An array of alternating names and values keeps order, case and repetition; Node then adds nothing, Host included.
    headers: ["Host", url.host, ...headers],
    ...(isTls && isIP(hostname) === 0 ? { servername: hostname } : {}),
    lookup: upstreams.lookupFor(target) as never,
  });
  if (settings.timeouts.connectMs > 0) limitConnecting(request, settings.timeouts.connectMs, isTls);
  return request;
}

function limitConnecting(request: ClientRequest, connectMs: number, isTls: boolean): void {
  const timer = setTimeout(() => {
    request.destroy(Object.assign(new Error("connect timeout"), { code: "UND_ERR_CONNECT_TIMEOUT" }));
  }, connectMs);
  request.once("socket", (socket) => socket.once(isTls ? "secureConnect" : "connect", () => clearTimeout(timer)));
  request.once("close", () => clearTimeout(timer));
}

/** Headers of a Node response as the relay's rules read them. */
export function rawHeadersOf(response: IncomingMessage): Buffer[] {
  return response.rawHeaders.map((text) => Buffer.from(text, "latin1"));
}
