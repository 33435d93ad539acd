import { GatewayError } from "../../core/errors.ts";

/** A link has as many open requests as it may. */
export function tooManyRequests(server: string): GatewayError {
  return new GatewayError("upstream.unavailable", {
    message: "too many requests to this MCP server are open at once",
    detail: `${server}: the link's limit of open requests`,
    headers: { "retry-after": "1" },
  });
}
