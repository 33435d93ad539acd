import { BoundedMap } from "../core/bounded-map.ts";
import { GatewayError } from "../core/errors.ts";

/** Which call is counted. A limit holds per conversation and server. */
export interface CountedCall {
  /** Whose conversation: its counters can push out this principal's others, never another's. */
  readonly principal: string;
  /** The session, or (2026) the agent. */
  readonly conversation: string;
  readonly server: string;
  readonly tool: string;
}

/** How often each tool was called, per conversation and server. Synchronous, so parallel first calls are counted one by one. */
export interface CallLimits {
  /**
   * Counts a call, or refuses it and counts nothing.
   *
   * @param limit calls allowed; 0 or undefined means no limit, and nothing is remembered
   * @throws GatewayError `mcp.call_limit`
   */
  count(call: CountedCall, limit: number | undefined): void;
  /** The conversation is over. */
  forget(principal: string, conversation: string): void;
}

const MAX_PRINCIPALS = 10_000;
const MAX_CONVERSATIONS = 1_000;
/** Names of tools with a limit come from the configuration, so this is only a guard. */
const MAX_TOOLS = 1_000;

type Counters = BoundedMap<string, number>;

/** @param maxConversations that are remembered per principal; the one that was idle longest is forgotten first */
export function createCallLimits(maxConversations = MAX_CONVERSATIONS): CallLimits {
  const principals = new BoundedMap<string, BoundedMap<string, Counters>>(MAX_PRINCIPALS);

  function countersOf(principal: string, conversation: string): Counters {
    const conversations = principals.get(principal) ?? new BoundedMap<string, Counters>(maxConversations);
    principals.set(principal, conversations);
    const counters = conversations.get(conversation) ?? new BoundedMap<string, number>(MAX_TOOLS);
    conversations.set(conversation, counters);
    return counters;
  }

  return {
    count({ principal, conversation, server, tool }, limit) {
      if (limit === undefined || limit === 0) return;
      const counters = countersOf(principal, conversation);
      // Names of servers have no space.
      const name = `${server} ${tool}`;
      const calls = counters.get(name) ?? 0;
      if (calls >= limit) {
        const message = `tool call limit reached for ${JSON.stringify(tool)} (max: ${limit})`;
        throw new GatewayError("mcp.call_limit", { message });
      }
      counters.set(name, calls + 1);
    },
    forget(principal, conversation) {
      const conversations = principals.peek(principal);
      conversations?.delete(conversation);
      if (conversations?.size === 0) principals.delete(principal);
    },
  };
}
