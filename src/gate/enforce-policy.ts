import { GatewayError } from "../core/errors.ts";
import type { LiveService } from "./catalog.ts";
import type { LiveKey, ServiceGrant } from "./key-cache.ts";

/**
 * What a key with scope `read` may send. By method alone: a header that asks the upstream to treat a GET
 * as something else (X-HTTP-Method-Override and its kin) is never forwarded.
 */
const READ_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** Reflect a request back at its sender (TRACE) or make a tunnel (CONNECT): never, whatever a service says. */
const NEVER: ReadonlySet<string> = new Set(["TRACE", "TRACK", "CONNECT"]);

/**
 * Scope, then the service's own rules, then the grant's: all must allow.
 *
 * @param path below the service's base path, as it was sent, without query
 * @throws GatewayError `request.method_not_allowed`, `key.scope`, `key.not_granted`
 */
export function enforcePolicy(
  live: LiveKey,
  grant: ServiceGrant,
  target: LiveService,
  method: string,
  path: string,
): void {
  if (NEVER.has(method))
    throw new GatewayError("request.method_not_allowed", {
      headers: { allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" },
    });
  if (live.key.scope === "read" && !READ_METHODS.has(method)) throw new GatewayError("key.scope");
  if (!target.allowsMethod(method) || !grant.allowsMethod(method)) throw new GatewayError("key.not_granted");
  if (!target.allowsPath(path) || !grant.allowsPath(path)) throw new GatewayError("key.not_granted");
}
