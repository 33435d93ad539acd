import type { DeclaredMcpServer } from "../../config/model.ts";
import type { Clock } from "../../core/clock.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import { type Breaker, createBreaker } from "../../mcp-policy/breaker.ts";
import type { CallLimits } from "../../mcp-policy/call-limits.ts";
import type { PayloadStore } from "../../mcp-policy/payload-store.ts";
import { createResponseFilters, type ResponseFilters } from "../../mcp-policy/response-filter.ts";
import type { CallGuard, CallWatch, ToolCall } from "./call-policy.ts";

/** For guards that have nothing to say about the reply. */
const AS_IT_IS: CallWatch = { answered: (reply) => reply, failed: () => undefined };

/** Calls of each tool per conversation, as `tool_call_limits` says. */
export function limitGuard(limits: CallLimits): CallGuard {
  return {
    begin({ caller, conversation, server, tool, isFurtherRound }) {
      if (isFurtherRound) return AS_IT_IS;
      const limit = server.toolCallLimits[tool];
      // Without a session it is the agent that is counted: other capabilities would else count from nothing.
      const counted = conversation.shared ? (caller.agentId ?? "") : conversation.key;
      limits.count({ principal: conversation.principalUid, conversation: counted, server: server.name, tool }, limit);
      return AS_IT_IS;
    },
  };
}

/** One breaker per server, for all callers. */
export function breakersOf(servers: readonly DeclaredMcpServer[], clock: Clock): ReadonlyMap<string, Breaker> {
  return new Map(servers.map(({ name, breaker }) => [name, createBreaker({ server: name, ...breaker, clock })]));
}

/** Holds back calls to a server that said it is asked too often. */
export function breakerGuard(breakers: ReadonlyMap<string, Breaker>): CallGuard {
  return {
    begin({ server }) {
      const attempt = breakers.get(server.name)?.admit();
      if (!attempt) return AS_IT_IS;
      return {
        answered(reply) {
          attempt.answered(reply);
          return reply;
        },
        failed: () => attempt.failed(),
      };
    },
  };
}

/** jq programs over the results of tools. What a filter fails at is withheld. */
export function filterGuard(filters: ReadonlyMap<string, ResponseFilters>): CallGuard {
  return changingResults(({ server, tool }) => {
    const own = filters.get(server.name);
    return own?.has(tool) ? (result) => own.apply(tool, result) : null;
  });
}

/** The filters of each server that has any. */
export function filtersOf(servers: readonly DeclaredMcpServer[]): ReadonlyMap<string, ResponseFilters> {
  const filtered = servers.filter(({ responseFilters }) => Object.keys(responseFilters).length > 0);
  return new Map(filtered.map((server) => [server.name, createResponseFilters(server.responseFilters)]));
}

/** Long results become files. */
export function payloadGuard(payloads: PayloadStore): CallGuard {
  return changingResults(() => (result) => payloads.shrink(result));
}

type Change = (result: string) => string | Promise<string>;

function changingResults(changeFor: (call: ToolCall) => Change | null): CallGuard {
  return {
    begin(call) {
      const change = changeFor(call);
      if (!change) return AS_IT_IS;
      return {
        answered(reply): Reply | Promise<Reply> {
          if ("error" in reply) return reply;
          const changed = change(reply.result);
          if (changed === reply.result) return reply;
          return typeof changed === "string" ? { result: changed } : changed.then((result) => ({ result }));
        },
        failed: () => undefined,
      };
    },
  };
}
