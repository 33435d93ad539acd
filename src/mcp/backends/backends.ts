import { hash, randomBytes } from "node:crypto";
import { GatewayError } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import type { ClientFacts, Era } from "../../mcp-links/types.ts";
import type { AccessTo } from "../../mcp-policy/access.ts";
import type { McpServer, McpServers } from "../../mcp-servers/types.ts";
import type { Backend, Backends, Target } from "../backend.ts";
import { createBuiltIn, createBuiltInBackend } from "../built-in/built-in.ts";
import { ownerOf } from "../owner.ts";
import type { Caller, McpDeps } from "../types.ts";
import { createServerBackend, type ServerBackend, type ServerBackendDeps } from "./server-backend.ts";
import { createUnifiedBackend, createUnifiedNames } from "./unified-backend.ts";

export interface BackendsDeps extends ServerBackendDeps {
  readonly servers: McpServers;
  readonly accessTo: AccessTo;
  readonly builtIn: McpDeps;
  readonly log: Logger;
  readonly listTimeoutMs: number;
}

/** The path of the gateway's own tools alone. */
export const BUILT_IN_SERVER = "bifrost";

/** What a client that never said `initialize` is taken to be. */
const UNKNOWN_CLIENT: ClientFacts = { info: null, capabilities: "{}" };

/** Longer capabilities stand in a conversation's key by their digest. */
const MAX_KEY_PART = 200;

export function createBackends(deps: BackendsDeps): Backends {
  const names = createUnifiedNames();

  function build(
    caller: Caller,
    target: Target,
    of: { key: string; facts: ClientFacts; era: Era; shared: boolean },
  ): Backend {
    const conversation = { ...of, principalUid: caller.principal.uid, headers: identityHeaders(caller) };
    const backendOf = (server: McpServer): ServerBackend | null => {
      const access = deps.accessTo(caller, server.declared);
      return access && createServerBackend({ caller, server, access, conversation }, deps);
    };
    const builtIn = createBuiltIn(deps.builtIn, caller);
    if (target.kind === "unified") {
      const servers = deps.servers.all().flatMap((server) => backendOf(server) ?? []);
      return createUnifiedBackend({ servers, builtIn, names, log: deps.log, listTimeoutMs: deps.listTimeoutMs });
    }
    if (target.server === BUILT_IN_SERVER) return createBuiltInBackend(builtIn);
    const server = deps.servers.find(target.server);
    const backend = server && backendOf(server);
    if (!backend) throw new GatewayError("mcp.server_not_found");
    return backend;
  }

  return {
    open: (caller, target, facts) =>
      build(caller, target, {
        key: `${ownerOf(caller, target)} ${randomBytes(12).toString("base64url")}`,
        facts,
        era: "2025",
        shared: false,
      }),
    shared: (caller, target, facts) =>
      build(caller, target, { key: sharedKey(caller, facts), facts, era: "2026", shared: true }),
    sessionless: (caller, target) =>
      build(caller, target, { key: `${agentKey(caller)} -`, facts: UNKNOWN_CLIENT, era: "2025", shared: true }),

    assertVisible(caller, target) {
      if (target.kind === "unified" || target.server === BUILT_IN_SERVER) return;
      const server = deps.servers.find(target.server);
      if (!server || !deps.accessTo(caller, server.declared)) throw new GatewayError("mcp.server_not_found");
    },
  };
}

function agentKey({ principal, agentId }: Caller): string {
  return `${principal.uid} ${agentId ?? ""}`;
}

function sharedKey(caller: Caller, { info, capabilities }: ClientFacts): string {
  const facts = `${capabilities} ${info ?? ""}`;
  return `${agentKey(caller)} ${facts.length <= MAX_KEY_PART ? facts : hash("sha256", facts)}`;
}

/** Who calls, for HTTP servers: public ids only, and never what a client sent under these names (DESIGN §4). */
function identityHeaders({ principal, agentId, live }: Caller): Readonly<Record<string, string>> {
  const agent = agentId ?? live?.key.agentId ?? null;
  return {
    ...(principal.kind === "virtual_key" && { "x-bifrost-key-id": principal.id }),
    ...(agent !== null && { "x-bifrost-agent-id": agent }),
  };
}
