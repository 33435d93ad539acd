import type { DeclaredMcpServer } from "../../config/model.ts";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { Conversation } from "../../mcp-servers/types.ts";
import type { Caller } from "../types.ts";

/** One tool call, as the stages around it see it. */
export interface ToolCall {
  readonly caller: Caller;
  readonly conversation: Conversation;
  readonly server: DeclaredMcpServer;
  /** The server's own name of it. */
  readonly tool: string;
  /** It goes on with a call that was counted already, after the client was asked for input. */
  readonly isFurtherRound: boolean;
}

/** Watches over one call that may go ahead. Exactly one of the two is called. */
export interface CallWatch {
  /** The reply as the client gets it. @throws GatewayError where it must be withheld */
  answered(reply: Reply): Promise<Reply> | Reply;
  failed(failure: unknown): void;
}

/**
 * A stage around tool calls: it lets a call go ahead or throws, and sees its reply before the client does. Guards for the
 * flow of information plug in here.
 */
export interface CallGuard {
  /** @throws GatewayError to refuse */
  begin(call: ToolCall, params: JsonText | undefined): CallWatch | Promise<CallWatch>;
}

/** All that surrounds a tool call beyond access and admission. */
export interface CallPolicy extends CallGuard {
  /** 0 means no limit. */
  timeoutMs(call: ToolCall): number;
}

/**
 * The guards in their order on the way in, and in reverse on the way out. One that refuses, or fails, has those before it
 * hear of the failure.
 */
export function createCallPolicy(guards: readonly CallGuard[]): CallPolicy {
  return {
    timeoutMs: ({ server, tool }) => server.toolTimeoutsMs[tool] ?? server.toolTimeoutMs,
    async begin(call, params) {
      const watches: CallWatch[] = [];
      const failed = (failure: unknown) => {
        for (const watch of watches.splice(0)) watch.failed(failure);
      };
      try {
        for (const guard of guards) {
          const watch = guard.begin(call, params);
          watches.unshift(watch instanceof Promise ? await watch : watch);
        }
      } catch (refusal) {
        failed(refusal);
        throw refusal;
      }
      return {
        async answered(reply) {
          let current = reply;
          for (let next = watches.shift(); next; next = watches.shift()) {
            try {
              const changed = next.answered(current);
              current = changed instanceof Promise ? await changed : changed;
            } catch (failure) {
              failed(failure);
              throw failure;
            }
          }
          return current;
        },
        failed,
      };
    },
  };
}
