import type { GatewayError } from "../../core/errors.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import type { ClientFacts, ServerNotification, ServerRequest } from "../../mcp-links/types.ts";
import type { Backend, BackendRequest } from "../backend.ts";
import type { Refusal } from "../refusals.ts";
import { type Envelope, severityOf } from "./envelope.ts";
import type { Exchange } from "./exchange.ts";
import { capabilitiesFor, inputRequiredText, isAnswer, mayAsk, whyNotAsked } from "./input-requests.ts";
import { modernReply } from "./results.ts";
import type { Suspendable, SuspendedCalls } from "./suspended-calls.ts";
import { isAccepted, readUrlElicitations, URL_DECLINED, URLS_NOT_DECLARED } from "./url-elicitation.ts";

/** Requests of a server that may wait for one client at a time. */
const MAX_ASKED = 16;

/**
 * What a server asks at once arrives in pieces over stdio. A client that asks its user does not notice these milliseconds,
 * and one round more for each piece would cost it much more.
 */
export const GATHER_MS = 10;

/** One POST that waits for the outcome of a call. */
export interface Waiting {
  readonly exchange: Exchange;
  readonly envelope: Envelope;
  /** What the client gets for something thrown. */
  refuse(thrown: unknown): Refusal;
  /** The POST is answered. */
  done(): void;
}

export interface CallParts extends Pick<Suspendable, "principal"> {
  readonly backend: Pick<Backend, "request">;
  readonly method: string;
  readonly params: JsonText | undefined;
  readonly client: ClientFacts;
  readonly headers: Readonly<Record<string, string>>;
  readonly suspended: SuspendedCalls<Call>;
  /** Asked for only if the call is suspended. */
  readonly bindingOf: () => string;
  /** Calls `end` when the caller may no longer keep anything open; the returned function stops that. */
  readonly watchCaller: (end: (reason: GatewayError) => void) => () => void;
}

/**
 * One request at the backend, which may outlive the POST that began it: when a server of the 2025 era asks its client
 * something meanwhile, the POST is answered with `input_required`, the call stays open, and the client's retry waits for it
 * again.
 */
export interface Call extends Suspendable {
  /** Sends the request. Its outcome goes to whoever waits. */
  start(first: Waiting): void;
  /** Checks answers against what was asked: the key of the first that has not the form it must have, or null. */
  findBadAnswer(answers: ReadonlyMap<string, JsonText>): string | null;
  /** Hands over the answers that were asked for, ignores others, and lets a retry wait for what comes. */
  resume(retry: Waiting, answers: ReadonlyMap<string, JsonText>): void;
}

interface Asked {
  readonly request: ServerRequest;
  settle(reply: Reply): void;
}

export function openCall(parts: CallParts): Call {
  const asked = new Map<string, Asked>();
  let waiting: Waiting | null = null;
  /** The outcome, while nobody waits for it. */
  let outcome: ((waiting: Waiting) => void) | null = null;
  let ended = false;
  let count = 0;
  let gathering = false;
  let binding: string | undefined;
  let firstToken: JsonText | undefined;
  const controller = new AbortController();
  let abandoned = false;
  let state: string | null = null;
  let unwatch: (() => void) | null = null;
  /** Capabilities that the server needed and the client did not declare, while it ran. */
  let undeclared: JsonText | null = null;

  const call: Call = {
    principal: parts.principal,
    binding: () => (binding ??= parts.bindingOf()),

    start(first) {
      waiting = first;
      firstToken = first.envelope.progressToken;
      send();
    },

    findBadAnswer(answers) {
      for (const [key, { request }] of asked) {
        const answer = answers.get(key);
        if (answer !== undefined && !isAnswer(request.method, answer)) return key;
      }
      return null;
    },

    resume(retry, answers) {
      state = null;
      waiting = retry;
      for (const [key, { settle }] of asked) {
        const answer = answers.get(key);
        if (answer !== undefined) settle({ result: answer });
      }
      if (outcome) tell(outcome);
      else if (asked.size > 0) gather();
    },

    abandon() {
      abandoned = true;
      unwatch?.();
      if (state !== null) parts.suspended.take(state);
      waiting?.done();
      waiting = null;
      outcome = null;
      controller.abort();
      settleAll("the client did not answer");
    },
  };

  const backendRequest: BackendRequest = {
    method: parts.method,
    params: parts.params,
    headers: parts.headers,
    passInputRequired: true,
    signal: controller.signal,
    onNotification: relay,
    onRequest: ask,
  };
  return call;

  function send(): void {
    let running;
    try {
      running = parts.backend.request(backendRequest);
    } catch (thrown) {
      running = Promise.reject(thrown);
    }
    running.then(
      (reply) => {
        const urls = mayAsk(parts.method) ? readUrlElicitations(reply) : null;
        if (urls && urls.length > 0) void sendAfter(urls);
        else end(answering(reply));
      },
      (thrown) => end(refused(thrown)),
    );
  }

  /** The request once more, when the user has been where the server wants it; it asks again where that was not enough. */
  async function sendAfter(urls: readonly ServerRequest[]): Promise<void> {
    const { signal } = new AbortController();
    if (urls.some((url) => whyRefused(url, signal) !== null)) return end(answering(URLS_NOT_DECLARED));
    const replies = await Promise.all(urls.map((url) => ask(url, signal)));
    if (replies.every(isAccepted)) send();
    else end(answering(URL_DECLINED));
  }

  function answering(reply: Reply): (waiting: Waiting) => void {
    // The server could not do without; 2026-07-28 has an error of its own for that. A result says that it could.
    const told = "error" in reply && undeclared !== null ? notDeclared(undeclared) : reply;
    return ({ exchange }) => exchange.answer(modernReply(parts.method, told));
  }

  function tell(told: (waiting: Waiting) => void): void {
    const current = waiting;
    if (!current) return;
    waiting = null;
    outcome = null;
    told(current);
    current.done();
  }

  function end(told: (waiting: Waiting) => void): void {
    ended = true;
    unwatch?.();
    settleAll("the request has ended");
    if (waiting) tell(told);
    else if (!abandoned) outcome = told;
  }

  /** What stays open for long ends with the caller's right to it; most calls do not, and are not watched. */
  function watch(): void {
    unwatch ??= parts.watchCaller((reason) => {
      tell(refused(reason));
      call.abandon();
    });
  }

  function settleAll(reason: string): void {
    for (const { settle } of asked.values()) settle(errorReply(RPC.serverError, reason));
  }

  /** Only what belongs to this request: what concerns the connection goes to `subscriptions/listen`. */
  function relay(notification: ServerNotification): void {
    if (!waiting) return;
    const { envelope, exchange } = waiting;
    const { method, params } = notification;
    if (CONNECTION_WIDE.has(method)) return;
    if (method === "notifications/message") {
      const level = params === undefined ? undefined : stringValue(memberText(params, "level"));
      if (envelope.logLevel === undefined || severityOf(level) < severityOf(envelope.logLevel)) return;
    }
    if (method === "notifications/progress") {
      if (envelope.progressToken === undefined) return;
      // A retry has its own token, and the server still uses that of the first request.
      if (envelope.progressToken !== firstToken && params !== undefined) {
        const renamed = withMembers(params, { progressToken: envelope.progressToken });
        return exchange.notify({ method, params: renamed });
      }
    }
    exchange.notify(notification);
    watch();
  }

  function ask(request: ServerRequest, signal: AbortSignal): Promise<Reply> {
    if (request.method === "ping") return Promise.resolve({ result: "{}" });
    const refusal = whyRefused(request, signal);
    if (refusal !== null) return Promise.resolve(errorReply(RPC.methodNotFound, `Not available: ${refusal}`));
    return new Promise((resolve) => {
      const key = `${request.method.slice(0, request.method.indexOf("/"))}-${++count}`;
      const withdraw = () => settle(errorReply(RPC.serverError, "withdrawn"));
      const settle = (reply: Reply) => {
        asked.delete(key);
        signal.removeEventListener("abort", withdraw);
        resolve(reply);
      };
      signal.addEventListener("abort", withdraw, { once: true });
      asked.set(key, { request, settle });
      gather();
    });
  }

  function whyRefused(request: ServerRequest, signal: AbortSignal): string | null {
    if (!mayAsk(parts.method)) return `${parts.method} cannot ask for input`;
    if (ended || abandoned || signal.aborted) return "the request has ended";
    if (asked.size >= MAX_ASKED) return "too many requests wait for the client";
    const why = whyNotAsked(request, waiting?.envelope.client.capabilities ?? parts.client.capabilities);
    if (why !== null) undeclared = capabilitiesFor(request);
    return why;
  }

  /** What a server asks at once goes to the client at once. */
  function gather(): void {
    if (gathering) return;
    gathering = true;
    setTimeout(() => {
      gathering = false;
      suspend();
    }, GATHER_MS);
  }

  function suspend(): void {
    if (!waiting || ended || asked.size === 0) return;
    try {
      const next = (state = parts.suspended.suspend(call));
      const requests = new Map(Array.from(asked, ([key, { request }]) => [key, request]));
      tell(({ exchange }) => exchange.answer({ result: inputRequiredText(requests, next) }));
      watch();
    } catch (thrown) {
      tell(refused(thrown));
      call.abandon();
    }
  }

  function refused(thrown: unknown): (waiting: Waiting) => void {
    return ({ exchange, refuse }) => {
      const { reply, status, headers } = refuse(thrown);
      exchange.answer(modernReply(parts.method, reply), status === 200 ? { headers } : { status, headers });
    };
  }
}

function notDeclared(capabilities: JsonText): Reply {
  const message = "The server needs a capability that this client did not declare";
  return errorReply(RPC.missingClientCapability, message, { requiredCapabilities: JSON.parse(capabilities) });
}

/** Of the 2025 era: about the connection, or about what the 2026 era has not. */
const CONNECTION_WIDE: ReadonlySet<string> = new Set([
  "notifications/tools/list_changed",
  "notifications/prompts/list_changed",
  "notifications/resources/list_changed",
  "notifications/resources/updated",
  "notifications/elicitation/complete",
  "notifications/tasks/status",
  "notifications/cancelled",
]);
