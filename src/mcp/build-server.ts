import { ProtocolError, ProtocolErrorCode, Server, type ServerOptions } from "@modelcontextprotocol/server";
import { z } from "zod";
import { callTool } from "./call-tool.ts";
import { listMyKeys } from "./tools/list-my-keys.ts";
import { listServices } from "./tools/list-services.ts";
import { requestKey } from "./tools/request-key.ts";
import { revokeKey } from "./tools/revoke-key.ts";
import type { BuiltInTool } from "./tools/tool.ts";
import type { Caller, McpDeps } from "./types.ts";

/** The gateway's own tools, in the order in which an agent needs them. */
const BUILT_IN_TOOLS: readonly BuiltInTool[] = [listServices, requestKey, listMyKeys, revokeKey];

const INSTRUCTIONS =
  "Bifrost keeps the real API credentials. Call list_services to see which APIs you can reach, request_key to get a " +
  "short-lived virtual key for one of them, then call that API at the returned proxy_base_url with the key as " +
  "`Authorization: Bearer`. Ask for the least scope and time you need, and revoke_key when you are done.";

const HOUR_MS = 3_600_000;

const OPTIONS: ServerOptions = {
  capabilities: { tools: {} },
  instructions: INSTRUCTIONS,
  cacheHints: {
    // The same for everybody until the gateway is upgraded.
    "server/discover": { ttlMs: HOUR_MS, cacheScope: "public" },
    // A virtual key is offered fewer tools than its owner.
    "tools/list": { ttlMs: HOUR_MS, cacheScope: "private" },
  },
};

/** Only `cursor` is ours to check; the SDK has taken `_meta` out. */
const ListParams = z.looseObject({ cursor: z.string().optional() });

/**
 * The SDK's low-level server for one request of one caller. Not McpServer: that turns arguments which fail validation into
 * results with `isError`, and here they are JSON-RPC errors -32602.
 */
export function buildServer(deps: McpDeps, caller: Caller): Server {
  const server = new Server({ name: "bifrost", title: "Bifrost agent gateway", version: deps.version }, OPTIONS);

  // With our own schema, so that a bad cursor is -32602; the SDK's overload answers -32603 with zod's text.
  server.setRequestHandler("tools/list", { params: ListParams }, ({ cursor }) => {
    if (cursor !== undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, "cursor was not issued here: there is a single page");
    const offered = BUILT_IN_TOOLS.filter(({ isOffered }) => isOffered(caller.principal));
    return { tools: offered.map(({ definition }) => definition) };
  });

  server.setRequestHandler("tools/call", ({ params }) => callTool(BUILT_IN_TOOLS, deps, caller, params));
  return server;
}
