import { setTimeout as delay } from "node:timers/promises";
import { GatewayError } from "../../core/errors.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, members, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import type { LinkRequest } from "../types.ts";
import { cancelled } from "./cancelled.ts";

/** Rounds of one request; the official client's own limit is 10. */
const MAX_ROUNDS = 16;

/** Questions of one round. */
const MAX_QUESTIONS = 64;

/** Before a request is repeated that the server asked nothing for ("come again later"). */
const PAUSE_MS = 250;

/** Whether a result asks the client for input instead of being one (2026-07-28, Multi Round-Trip Requests). */
export function isInputRequired(reply: Reply): reply is { readonly result: JsonText } {
  return (
    "result" in reply &&
    reply.result.includes('"input_required"') &&
    memberText(reply.result, "resultType") === '"input_required"'
  );
}

/**
 * Carries a request of a 2025 client to its end: what the server asks for is asked of the client, all of a round at a time,
 * and the request is repeated with the answers. A client that answers with an error ends it with an error reply.
 *
 * @throws GatewayError `upstream.protocol`: it asks without end, too much at once, or in a way that is not understood
 */
export async function answerInput(
  first: { readonly result: JsonText },
  request: LinkRequest,
  repeat: (params: JsonText) => Promise<Reply>,
): Promise<Reply> {
  let reply: Reply = first;
  for (let round = 0; isInputRequired(reply); round++) {
    if (round === MAX_ROUNDS) throw misbehaved(`it asked for input more than ${MAX_ROUNDS} times for one request`);
    const questions = memberText(reply.result, "inputRequests");
    const answers = questions === undefined ? undefined : await ask(questions, request);
    if (answers !== undefined && "error" in answers) return answers;
    if (answers === undefined)
      await delay(PAUSE_MS, undefined, { ref: false, ...signalOf(request) }).catch(() => undefined);
    if (request.signal?.aborted) throw cancelled(request.signal);
    const params: JsonText = withMembers(request.params ?? "{}", {
      inputResponses: answers?.result,
      requestState: memberText(reply.result, "requestState"),
    });
    reply = await repeat(params);
  }
  return reply;
}

interface Question {
  readonly key: string;
  readonly method: string;
  readonly params: JsonText | undefined;
}

/** The answers as one object under the keys of the questions, or the error that stands for the first that failed. */
async function ask(questions: JsonText, request: LinkRequest): Promise<Reply | undefined> {
  const asked = members(questions).map(({ name, start, end }) => readQuestion(name, questions.slice(start, end)));
  if (asked.length === 0) return undefined;
  if (asked.length > MAX_QUESTIONS) throw misbehaved(`it asked for more than ${MAX_QUESTIONS} inputs at once`);
  const round = new AbortController();
  const { signal } = request;
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal ? cancelled(signal) : undefined);
  });
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal?.aborted) throw cancelled(signal);
    const answers = asked.map(async ({ key, method, params }) => {
      const answer = await request.onRequest({ method, params }, round.signal);
      if ("error" in answer) throw new Declined(method);
      return `${JSON.stringify(key)}:${answer.result}`;
    });
    return { result: `{${(await Promise.race([Promise.all(answers), aborted])).join(",")}}` };
  } catch (error) {
    if (!(error instanceof Declined)) throw error;
    return errorReply(
      RPC.internalError,
      `The server needs input (${error.method}), and the client answered with an error.`,
    );
  } finally {
    signal?.removeEventListener("abort", onAbort);
    // Whoever still answers a question of this round does so for nothing.
    round.abort(new GatewayError("upstream.reset", { message: "the answer is no longer needed" }));
  }
}

/** The client answered a question with an error. */
class Declined extends Error {
  override readonly name = "Declined";
  readonly method: string;

  constructor(method: string) {
    super(method);
    this.method = method;
  }
}

function readQuestion(key: string, text: JsonText): Question {
  const method = stringValue(memberText(text, "method"));
  if (method === undefined) throw misbehaved("it asked for input without saying what for");
  return { key, method, params: memberText(text, "params") };
}

function signalOf({ signal }: LinkRequest): { signal?: AbortSignal } {
  return signal ? { signal } : {};
}

function misbehaved(why: string): GatewayError {
  return new GatewayError("upstream.protocol", { message: `the MCP server does not keep to the protocol: ${why}` });
}
