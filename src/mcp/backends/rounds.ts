import { hash } from "node:crypto";
import { BoundedMap } from "../../core/bounded-map.ts";
import { type JsonText, memberText, stringValue } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";

/**
 * A call of the 2026 era may take several requests: the server asks for input, and the client sends the request again with
 * it. Such a call is counted once. What makes a request a further round is a `requestState` that the server gave this
 * principal for this tool or, where it gave none, answers to a question that it asked about the same arguments. Each question
 * makes one round free, so that repeating one buys nothing.
 */
export interface Rounds {
  /** Whether these parameters go on with a call that was counted already. */
  isFurther(owner: string, params: JsonText | undefined): boolean;
  /** The server asked for input: the next round is free. */
  note(owner: string, params: JsonText | undefined, reply: Reply): void;
}

const MAX_OPEN = 10_000;

export function createRounds(): Rounds {
  const open = new BoundedMap<string, true>(MAX_OPEN);
  const keyOf = (owner: string, kind: "state" | "arguments", text: string) =>
    `${owner} ${kind} ${hash("sha256", text, "base64url")}`;

  function keyOfRound(owner: string, params: JsonText): string | null {
    if (params.includes('"requestState"')) {
      const state = stringValue(memberText(params, "requestState"));
      if (state !== undefined) return keyOf(owner, "state", state);
    }
    if (!params.includes('"inputResponses"') || memberText(params, "inputResponses") === undefined) return null;
    return keyOf(owner, "arguments", argumentsOf(params));
  }

  return {
    isFurther(owner, params) {
      const key = params === undefined ? null : keyOfRound(owner, params);
      if (key === null || !open.peek(key)) return false;
      open.delete(key);
      return true;
    },
    note(owner, params, reply) {
      if ("error" in reply || !reply.result.includes('"input_required"')) return;
      if (stringValue(memberText(reply.result, "resultType")) !== "input_required") return;
      const state = stringValue(memberText(reply.result, "requestState"));
      open.set(
        state === undefined ? keyOf(owner, "arguments", argumentsOf(params)) : keyOf(owner, "state", state),
        true,
      );
    },
  };
}

function argumentsOf(params: JsonText | undefined): string {
  return (params && memberText(params, "arguments")) ?? "";
}
