import { hash } from "node:crypto";
import { BoundedMap } from "../../core/bounded-map.ts";
import { type JsonText, memberText, stringValue } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";

/**
 * A call of the 2026 era may take several requests: the server asks for input, and the client sends the request again with
 * it. Such a call is counted once. What makes a request a further round is a `requestState` that the server gave this
 * principal for this tool; each counts once, so that repeating one buys nothing.
 */
export interface Rounds {
  /** Whether these parameters go on with a call that was counted already. */
  isFurther(owner: string, params: JsonText | undefined): boolean;
  /** The server asked for input: the next round is free. */
  note(owner: string, reply: Reply): void;
}

const MAX_OPEN = 10_000;

export function createRounds(): Rounds {
  const open = new BoundedMap<string, true>(MAX_OPEN);
  const keyOf = (owner: string, state: string) => `${owner} ${hash("sha256", state, "base64url")}`;
  return {
    isFurther(owner, params) {
      if (params === undefined || !params.includes('"requestState"')) return false;
      const state = stringValue(memberText(params, "requestState"));
      if (state === undefined) return false;
      const key = keyOf(owner, state);
      if (!open.peek(key)) return false;
      open.delete(key);
      return true;
    },
    note(owner, reply) {
      if ("error" in reply || !reply.result.includes('"requestState"')) return;
      if (stringValue(memberText(reply.result, "resultType")) !== "input_required") return;
      const state = stringValue(memberText(reply.result, "requestState"));
      if (state !== undefined) open.set(keyOf(owner, state), true);
    },
  };
}
