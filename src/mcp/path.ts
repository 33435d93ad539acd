import { CALLER_ID } from "../core/ids.ts";
import type { Target } from "./backend.ts";

/** Whether a request's target belongs to the MCP plane: `/mcp` and all below. */
export function isMcpTarget(url: string): boolean {
  return url.startsWith("/mcp") && (url.length === 4 || url[4] === "/" || url[4] === "?");
}

/**
 * `/mcp` is all servers, `/mcp/{server}` one; a trailing slash and a query are ignored. Null for every other path, and for a
 * name that no server can have: encoded, with a dot segment or a separator.
 */
export function parseMcpPath(url: string): Target | null {
  const end = url.indexOf("?");
  const path = end === -1 ? url : url.slice(0, end);
  const name = path.slice("/mcp/".length).replace(/\/$/, "");
  if (name === "") return { kind: "unified" };
  return CALLER_ID.test(name) ? { kind: "routed", server: name } : null;
}
