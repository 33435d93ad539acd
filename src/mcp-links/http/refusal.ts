import { GatewayError } from "../../core/errors.ts";
import { type JsonText, memberText } from "../../jsonrpc/json-slice.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import type { IdText, Message, Reply } from "../../jsonrpc/message.ts";
import { parseMessages } from "./inbound.ts";

/**
 * What a body under a failure status is: a JSON-RPC error is the server's own answer (2026-07-28 answers 400 and 404 so),
 * anything else is none.
 *
 * The most copied server of the official SDK v1 says of a session it has forgotten 400 and -32000, to no request in
 * particular, where the specification wants 404. Nothing was processed then, so it may be told as what it is.
 *
 * @param mayBeLost the request was sent in a session, and the status is 400
 */
export function readRefusal(text: JsonText, id: IdText, mayBeLost: boolean): Reply | "session lost" | "none" {
  const message = onlyMessage(text);
  if (message?.kind !== "error" || (message.id !== null && message.id !== id)) return "none";
  const isOfNoRequest = message.id === null && memberText(message.error, "code") === String(RPC.serverError);
  return mayBeLost && isOfNoRequest ? "session lost" : { error: message.error };
}

function onlyMessage(text: JsonText): Message | undefined {
  try {
    const messages = parseMessages(text);
    return messages.length === 1 ? messages[0] : undefined;
  } catch (thrown) {
    if (thrown instanceof GatewayError) return undefined;
    throw thrown;
  }
}
