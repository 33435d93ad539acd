import { ERRORS, GatewayError, toGatewayError } from "../../core/errors.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { isJson } from "../../jsonrpc/is-json.ts";
import { elements, type JsonText, memberText, stringValue } from "../../jsonrpc/json-slice.ts";
import {
  errorReply,
  type IdText,
  type Message,
  NotAMessage,
  type NotificationMessage,
  readMessage,
  type Reply,
  type RequestMessage,
  responseText,
} from "../../jsonrpc/message.ts";
import type { ExchangeEvents } from "../types.ts";
import { readPlainResult } from "./read-response.ts";

/** MCP 2026-07-28, subscriptions: which `subscriptions/listen` request a notification belongs to. */
const SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId";

/** Requests of a server that may be open at once; one more is answered with an error. */
const MAX_SERVER_REQUESTS = 256;

/** What is under way on one line-based channel, and whom each arriving message belongs to. */
export interface Exchanges {
  readonly open: number;
  /** Waits for the answer to request `id`; rejects when `signal` aborts (with its reason) or everything ends. */
  begin(id: number, events: ExchangeEvents, signal: AbortSignal | undefined): Promise<Reply>;
  /** Ends one request: it could not be sent. */
  fail(id: number, error: GatewayError): void;
  /** Takes one line. What is no message, or answers nothing, goes to `onNoise`. Never throws. */
  receive(line: string): void;
  /** Who hears of what belongs to no open request. */
  listen(events: ExchangeEvents): void;
  /** Ends all requests, ours and the server's. */
  end(error: GatewayError): void;
}

interface Pending {
  readonly events: ExchangeEvents;
  settle(reply: Reply): void;
  fail(error: unknown): void;
}

interface ExchangeDeps {
  /** Sends a line to the server; what cannot be sent is dropped. */
  readonly send: (text: JsonText) => void;
  readonly onNoise: (why: string, line: string) => void;
}

export function createExchanges({ send, onNoise }: ExchangeDeps): Exchanges {
  const pending = new Map<number, Pending>();
  const serverRequests = new Map<IdText, AbortController>();
  let listener: ExchangeEvents | undefined;

  function begin(id: number, events: ExchangeEvents, signal: AbortSignal | undefined): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const abort = (): void => entry.fail(signal?.reason);
      const leave = (): void => {
        pending.delete(id);
        signal?.removeEventListener("abort", abort);
      };
      const entry: Pending = {
        events,
        settle(reply) {
          leave();
          resolve(reply);
        },
        fail(error) {
          leave();
          // oxlint-disable-next-line prefer-promise-reject-errors -- an abort's reason is the caller's own
          reject(error);
        },
      };
      signal?.addEventListener("abort", abort, { once: true });
      pending.set(id, entry);
    });
  }

  function receive(line: string): void {
    const plain = readPlainResult(line);
    if (plain !== null) return settle(plain.id, { result: plain.result }, line);
    if (!isJson(line)) return onNoise("not JSON", line);
    // Revision 2025-03-26 has batches, and a server may answer with one.
    if (/^\s*\[/.test(line)) for (const { start, end } of elements(line)) receiveOne(line.slice(start, end));
    else receiveOne(line);
  }

  function receiveOne(text: JsonText): void {
    let message: Message;
    try {
      message = readMessage(text);
    } catch (error) {
      return onNoise(error instanceof NotAMessage ? error.message : "not a message", text);
    }
    if (message.kind === "notification") notified(message);
    else if (message.kind === "request") void asked(message);
    else if (message.kind === "result") settle(idNumber(message.id), { result: message.result }, text);
    else settle(idNumber(message.id), { error: message.error }, text);
  }

  /** A second answer, or one to a request nobody waits for any more (cancelled, timed out), changes nothing. */
  function settle(id: number | undefined, reply: Reply, text: JsonText): void {
    const entry = id === undefined ? undefined : pending.get(id);
    if (entry) entry.settle(reply);
    else onNoise("answers no open request", text);
  }

  function notified({ method, params }: NotificationMessage): void {
    if (method === "notifications/cancelled") {
      const id = params === undefined ? undefined : memberText(params, "requestId");
      const asking = id === undefined ? undefined : serverRequests.get(id);
      if (asking) return asking.abort(new GatewayError("upstream.reset", { message: "the server took it back" }));
    }
    const events = receiverOf(method, params);
    try {
      events?.onNotification({ method, params });
    } catch {
      onNoise("its receiver failed", method);
    }
  }

  function receiverOf(method: string, params: JsonText | undefined): ExchangeEvents | undefined {
    // What belongs to a request that is over is nobody else's: other callers may be waiting on this channel.
    if (method === "notifications/progress") {
      return pending.get(idNumber(params === undefined ? undefined : memberText(params, "progressToken")) ?? -1)
        ?.events;
    }
    const meta = params?.includes(SUBSCRIPTION_ID) ? memberText(params, "_meta") : undefined;
    const subscription = meta === undefined ? undefined : memberText(meta, SUBSCRIPTION_ID);
    if (subscription !== undefined) {
      return pending.get(idNumber(stringValue(subscription) ?? subscription) ?? -1)?.events;
    }
    return latest()?.events ?? listener;
  }

  /** stdio does not say which request a server's message belongs to; the one begun last is the best guess there is. */
  function latest(): Pending | undefined {
    let last: Pending | undefined;
    for (const entry of pending.values()) last = entry;
    return last;
  }

  async function asked({ id, method, params }: RequestMessage): Promise<void> {
    const events = latest()?.events ?? listener;
    if (events === undefined) return send(responseText(id, errorReply(RPC.methodNotFound, "nobody answers this here")));
    if (serverRequests.has(id) || serverRequests.size >= MAX_SERVER_REQUESTS) {
      return send(responseText(id, errorReply(RPC.serverError, "too many open requests, or an id that is in use")));
    }
    const asking = new AbortController();
    serverRequests.set(id, asking);
    let reply: Reply;
    try {
      reply = await events.onRequest({ method, params }, asking.signal);
    } catch (thrown) {
      const error = toGatewayError(thrown);
      reply = errorReply(ERRORS[error.code].rpc, error.publicMessage);
    }
    serverRequests.delete(id);
    // MCP 2025-11-25, Cancellation: what was taken back is not answered.
    if (!asking.signal.aborted) send(responseText(id, reply));
  }

  return {
    get open() {
      return pending.size;
    },
    begin,
    fail: (id, error) => pending.get(id)?.fail(error),
    receive,
    listen(events) {
      listener = events;
    },
    end(error) {
      for (const entry of pending.values()) entry.fail(error);
      for (const asking of serverRequests.values()) asking.abort(error);
      serverRequests.clear();
      listener = undefined;
    },
  };
}

function idNumber(id: JsonText | null | undefined): number | undefined {
  return id !== null && id !== undefined && /^\d{1,15}$/.test(id) ? Number(id) : undefined;
}
