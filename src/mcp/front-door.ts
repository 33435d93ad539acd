import type { IncomingHttpHeaders } from "node:http";
import { GatewayError } from "../core/errors.ts";
import { isAgentId } from "../core/ids.ts";
import type { FrontDoor } from "./types.ts";

const LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"];

/**
 * What the listener's address implies. On loopback only local names count, for hosts and for web pages: a page that rebinds
 * its own name to 127.0.0.1 gets nothing. Elsewhere any Host may lead here, and no page may call but those that are allowed
 * to anyway.
 */
export function frontDoorFor(server: {
  readonly host: string;
  readonly publicUrl: string | null;
  readonly corsOrigins: readonly string[];
}): FrontDoor {
  const isLocal = server.host === "localhost" || server.host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(server.host);
  const own = server.publicUrl === null ? [] : [new URL(server.publicUrl).hostname];
  const pages = server.corsOrigins.map((origin) => new URL(origin).hostname);
  return {
    allowedHosts: isLocal ? [...LOCAL_NAMES, server.host, ...own] : null,
    allowedOrigins: [...(isLocal ? LOCAL_NAMES : []), ...own, ...pages],
  };
}

/**
 * Refuses a browser that was led here under a name which is not ours (DNS rebinding), before anything is looked up.
 *
 * @throws GatewayError `auth.forbidden`
 */
export function checkHostAndOrigin(headers: IncomingHttpHeaders, door: FrontDoor): void {
  if (door.allowedHosts !== null && !door.allowedHosts.includes(hostNameOf(headers.host)))
    throw new GatewayError("auth.forbidden", { message: "forbidden: this Host is not served here" });
  if (headers.origin !== undefined && !door.allowedOrigins.includes(originHostOf(headers.origin)))
    throw new GatewayError("auth.forbidden", { message: "forbidden: this Origin may not call" });
}

/** Name or address in a Host header, without port; IPv6 in brackets. "" for what is none. */
function hostNameOf(host: string | undefined): string {
  return /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.exec(host ?? "")?.[1]?.toLowerCase() ?? "";
}

/** "" for `null` and for whatever is no web origin. */
function originHostOf(origin: string): string {
  return URL.parse(origin)?.hostname ?? "";
}

/**
 * The agent's name inside its principal, or null.
 *
 * @throws GatewayError `request.agent_id_invalid`, also for an empty name and for two of them
 */
export function readAgentId(headers: IncomingHttpHeaders): string | null {
  const value = headers["x-agent-id"];
  if (value === undefined) return null;
  if (typeof value !== "string" || !isAgentId(value)) throw new GatewayError("request.agent_id_invalid");
  return value;
}

/**
 * Refuses a body that is not plain JSON, and a client that could not read the reply, which is JSON unless something comes
 * before it. The specification asks clients to accept `text/event-stream` too; `*` + `/*` or JSON alone will do.
 *
 * @throws GatewayError `request.unsupported_media_type`, `request.not_acceptable`
 */
export function checkMediaTypes(headers: IncomingHttpHeaders): void {
  if (!/^application\/json\s*(?:;|$)/i.test(headers["content-type"] ?? ""))
    throw new GatewayError("request.unsupported_media_type");
  const coding = headers["content-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "identity")
    throw new GatewayError("request.unsupported_media_type", { message: "unsupported content coding: send identity" });
  if (!acceptsJson(headers.accept)) throw new GatewayError("request.not_acceptable");
}

/** Whether the client can read JSON (RFC 9110 §12.5.1; parameters and weights are not looked at, but `q=0` is). */
export function acceptsJson(accept: string | undefined): boolean {
  if (accept === undefined) return true;
  return accept
    .toLowerCase()
    .split(",")
    .some((range) => /^\s*(?:application\/json|application\/\*|\*\/\*)\s*(?:;(?!\s*q=0(?:\.0*)?\s*$)|$)/.test(range));
}
