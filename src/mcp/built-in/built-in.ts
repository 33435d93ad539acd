import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, memberText } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import { REVISION_2026, type ServerHello } from "../../mcp-links/types.ts";
import type { Backend, BackendRequest } from "../backend.ts";
import type { Caller, McpDeps } from "../types.ts";
import { listMyKeys } from "./tools/list-my-keys.ts";
import { listServices } from "./tools/list-services.ts";
import { requestKey } from "./tools/request-key.ts";
import { revokeKey } from "./tools/revoke-key.ts";
import type { BuiltInTool } from "./tools/tool.ts";

/** The gateway's own tools, in the order in which an agent needs them. */
const TOOLS: readonly BuiltInTool[] = [listServices, requestKey, listMyKeys, revokeKey];

const INSTRUCTIONS =
  "Bifrost keeps the real API credentials. Call list_services to see which APIs you can reach, request_key to get a " +
  "short-lived virtual key for one of them, then call that API at the returned proxy_base_url with the key as " +
  "`Authorization: Bearer`. Ask for the least scope and time you need, and revoke_key when you are done.";

/** For 2026 clients: the tools stay until the gateway is upgraded, but a virtual key is offered fewer than its owner. */
const CACHE_HINTS = ',"ttlMs":3600000,"cacheScope":"private"';

/** The gateway as an MCP server of its own, for one caller. */
export interface BuiltIn {
  readonly hello: ServerHello;
  /** The Tool objects that this caller is offered. */
  tools(): readonly JsonText[];
  /** The result of `tools/list` where there are no other tools. */
  list(request: Pick<BackendRequest, "passInputRequired">): Reply;
  /** @throws GatewayError for everything the gateway refuses */
  call(name: string, params: JsonText | undefined): Promise<Reply>;
}

export function createBuiltIn(deps: McpDeps, caller: Caller): BuiltIn {
  const offered = () => TOOLS.filter(({ isOffered }) => isOffered(caller.principal));
  const tools = () => offered().map(({ definition }) => definition);
  return {
    hello: {
      revision: REVISION_2026,
      capabilities: '{"tools":{}}',
      info: JSON.stringify({ name: "bifrost", title: "Bifrost agent gateway", version: deps.version }),
      instructions: INSTRUCTIONS,
    },
    tools,
    list: ({ passInputRequired }) => ({
      result: `{"tools":[${tools().join(",")}]${passInputRequired ? CACHE_HINTS : ""}}`,
    }),
    async call(name, params) {
      const tool = TOOLS.find((known) => known.name === name);
      if (!tool) {
        const known = offered().map((one) => one.name);
        return errorReply(RPC.invalidParams, `Unknown tool: name must be one of ${known.join(", ")}`);
      }
      const args = memberText(params ?? "{}", "arguments");
      return { result: await tool.call(deps, caller, args === undefined ? undefined : JSON.parse(args)) };
    },
  };
}

/** The built-in tools alone, at `/mcp/bifrost`. */
export function createBuiltInBackend(builtIn: BuiltIn): Backend {
  const unknown = (method: string): Reply => errorReply(RPC.methodNotFound, `Method not found: ${method.slice(0, 64)}`);
  return {
    hello: () => Promise.resolve(builtIn.hello),
    async request(request) {
      const { method, params } = request;
      if (method === "tools/list") {
        if (params !== undefined && memberText(params, "cursor") !== undefined)
          return errorReply(RPC.invalidParams, "cursor was not issued here: there is a single page");
        return builtIn.list(request);
      }
      if (method !== "tools/call") return unknown(method);
      const name: unknown = JSON.parse(memberText(params ?? "{}", "name") ?? "null");
      if (typeof name !== "string") return errorReply(RPC.invalidParams, "name must be a string");
      return builtIn.call(name, params);
    },
    notify: () => Promise.resolve(),
    setLogLevel: () => Promise.resolve(unknown("logging/setLevel")),
    watch: () => ({
      granted: Promise.resolve({ tools: false, prompts: false, resources: false, resourceUris: [] }),
      change: () => Promise.resolve(),
      close: () => undefined,
    }),
    listen: () => undefined,
    close: () => Promise.resolve(),
  };
}
