import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { ClientFacts, ExchangeEvents, Link, LinkRequest, ServerHello, ServerNotification } from "../types.ts";
import { cancelled } from "./cancelled.ts";
import { isChange } from "./changes.ts";
import { readDiscoverResult } from "./discover.ts";
import { envelopeText, forStatelessServer } from "./envelope.ts";
import { answerInput, isInputRequired } from "./input-rounds.ts";
import type { LinkOptions } from "./options.ts";
import { requestHeaders } from "./request-headers.ts";
import { createToolHeaders } from "./tool-headers.ts";
import { tooManyRequests } from "./too-many-requests.ts";
import { createStatelessWatches } from "./watch-2026.ts";
import { NOBODY, type Wire } from "./wire.ts";

/** Pages of `tools/list` that are read to learn which arguments belong into headers. */
const MAX_PAGES = 100;

const DONE: Reply = { result: "{}" };

/**
 * Asks a server what it is, in the way of 2026-07-28. Null where it does not speak that revision.
 *
 * @throws GatewayError `upstream.*` of the channel
 */
export async function discover(
  wire: Wire,
  options: LinkOptions,
  signal: AbortSignal | undefined,
): Promise<ServerHello | null> {
  const params = `{"_meta":{${envelopeText(options.client, JSON.stringify(options.gateway), undefined)}}}`;
  const method = "server/discover";
  const headers = { ...options.headers, ...requestHeaders(method, params) };
  const id = wire.nextId();
  return readDiscoverResult(await wire.channel.request({ id, method, params, headers, signal }, NOBODY));
}

/**
 * A link to a server without sessions (2026-07-28): every request says who the client is and what it can do. Results pass as
 * they are, with `resultType` and cache hints: the official 2025 clients take unknown members in every result but an empty one,
 * and the requests with empty results (ping, subscribe, log level) are not sent to such a server.
 */
export function createStatelessLink(wire: Wire, hello: ServerHello, options: LinkOptions): Link {
  const { channel } = wire;
  const isHttp = channel.kind === "http";
  const gatewayInfo = JSON.stringify(options.gateway);
  const toolHeaders = createToolHeaders();
  const open = new Set<LinkRequest>();
  let listener: ExchangeEvents | undefined;
  let logLevel: string | undefined;
  let envelope:
    { readonly client: ClientFacts; readonly level: string | undefined; readonly text: JsonText } | undefined;

  const watches = createStatelessWatches({
    nextId: () => wire.nextId(),
    pauseMs: options.pauseMs,
    onStray: stray,
    async listen(id, params, signal, events) {
      const method = "subscriptions/listen";
      const sent = forStatelessServer(params, id, envelopeFor(options.client), false).params;
      const headers = { ...options.headers, ...requestHeaders(method, sent) };
      try {
        return await channel.request({ id, method, params: sent, headers, signal }, events);
      } catch (error) {
        if (signal.aborted) tellCancelled(id);
        throw error;
      }
    },
  });
  wire.outside = { ...NOBODY, onNotification: stray };
  void channel.closed.then(() => watches.clear());

  /** On a channel that all requests share, nothing says to which of them a log message belongs. */
  function stray(notification: ServerNotification): void {
    const { method, params } = notification;
    if (isChange(method)) watches.tell(notification);
    else if (method === "notifications/cancelled") {
      const id = params === undefined ? undefined : memberText(params, "requestId");
      watches.ended(stringValue(id) ?? id ?? "");
    } else if (method !== "notifications/progress") {
      let last: LinkRequest | undefined;
      for (const request of open) last = request;
      (last ?? listener)?.onNotification(notification);
    }
  }

  function envelopeFor(client: ClientFacts): JsonText {
    if (envelope?.client !== client || envelope.level !== logLevel) {
      envelope = { client, level: logLevel, text: envelopeText(client, gatewayInfo, logLevel) };
    }
    return envelope.text;
  }

  async function exchange(request: LinkRequest, own: JsonText | undefined): Promise<Reply> {
    const { method, signal } = request;
    const id = wire.nextId();
    const { params, token } = forStatelessServer(own, id, envelopeFor(request.client), request.passInputRequired);
    const headers = isHttp
      ? { ...toolHeadersOf(method, params), ...request.headers, ...requestHeaders(method, params) }
      : request.headers;
    try {
      return await channel.request({ id, method, params, headers, signal }, requestEvents(request, id, token));
    } catch (error) {
      if (!signal?.aborted) throw error;
      tellCancelled(id);
      throw cancelled(signal);
    }
  }

  function toolHeadersOf(method: string, params: JsonText | undefined): Record<string, string> | undefined {
    return method === "tools/call" ? toolHeaders.headersFor(params) : undefined;
  }

  /** Over HTTP the end of the stream says it (2026-07-28, Cancellation). */
  function tellCancelled(id: number): void {
    if (!isHttp) channel.notify("notifications/cancelled", `{"requestId":${id}}`, {}).catch(() => undefined);
  }

  function requestEvents(request: LinkRequest, id: number, token: JsonText | undefined): ExchangeEvents {
    return {
      onNotification(notification) {
        const { method, params } = notification;
        if (method === "notifications/progress") {
          if (token !== undefined && isProgressOf(params, id)) {
            request.onNotification({ method, params: withMembers(params, { progressToken: token }) });
          }
        } else if (method === "notifications/cancelled" || isChange(method)) stray(notification);
        else request.onNotification(notification);
      },
      onRequest: NOBODY.onRequest,
    };
  }

  /** The exchange, and once more with the headers that the server missed: it did not process a request that lacks them. */
  async function exchangeWithHeaders(request: LinkRequest, params: JsonText | undefined): Promise<Reply> {
    const reply = await exchange(request, params);
    if (request.method === "tools/list") {
      if ("result" in reply) toolHeaders.learn(reply.result);
      return reply;
    }
    if ("result" in reply || !isHttp || request.method !== "tools/call") return reply;
    if (memberText(reply.error, "code") !== String(RPC.headerMismatch)) return reply;
    await learnTools(request);
    return toolHeaders.headersFor(params) === undefined ? reply : exchange(request, params);
  }

  /** Streamable HTTP, Client Behavior: a client that is refused for its headers asks for the list and tries again. */
  async function learnTools(request: LinkRequest): Promise<void> {
    const list = { ...request, method: "tools/list", passInputRequired: false, onNotification: () => undefined };
    let cursor: JsonText | undefined;
    for (let page = 0; page < MAX_PAGES; page++) {
      const reply = await exchange(list, cursor === undefined ? undefined : `{"cursor":${cursor}}`);
      if ("error" in reply) return;
      toolHeaders.learn(reply.result);
      cursor = memberText(reply.result, "nextCursor");
      if (stringValue(cursor) === undefined) return;
    }
  }

  return {
    server: options.server,
    era: "2026",
    hello,
    async request(request) {
      if (open.size >= options.maxOpenRequests) throw tooManyRequests(options.server);
      if (request.signal?.aborted) throw cancelled(request.signal);
      open.add(request);
      try {
        const reply = await exchangeWithHeaders(request, request.params);
        if (request.passInputRequired || !isInputRequired(reply)) return reply;
        return await answerInput(reply, request, (params) => exchangeWithHeaders(request, params));
      } finally {
        open.delete(request);
      }
    },
    // Such a server hears of a client's roots with each request that needs them, and takes no notifications.
    notify: () => Promise.resolve(),
    setLogLevel(level) {
      logLevel = level;
      return Promise.resolve(DONE);
    },
    watch: watches.watch,
    listen(events) {
      listener = events;
    },
    closed: channel.closed,
    async close() {
      watches.clear();
      listener = undefined;
      await channel.close();
    },
  };
}

function isProgressOf(params: JsonText | undefined, id: number): params is JsonText {
  const sent = params === undefined ? undefined : memberText(params, "progressToken");
  return (stringValue(sent) ?? sent) === String(id);
}
