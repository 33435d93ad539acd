import type { Reply } from "../../jsonrpc/message.ts";
import type { CallLimits } from "../../mcp-policy/call-limits.ts";
import type { PayloadStore } from "../../mcp-policy/payload-store.ts";
import type { CallGuard, CallWatch, ToolCall } from "./call-policy.ts";
import type { ServerPolicies } from "./server-policies.ts";

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

/** Holds back calls to a server that said it is asked too often. */
export function breakerGuard({ breakerOf }: Pick<ServerPolicies, "breakerOf">): CallGuard {
  return {
    begin({ server }) {
      const attempt = breakerOf(server).admit();
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
export function filterGuard({ filtersOf }: Pick<ServerPolicies, "filtersOf">): CallGuard {
  return changingResults(({ server, tool }) => {
    const own = filtersOf(server);
    return own?.has(tool) ? (result) => own.apply(tool, result) : null;
  });
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
