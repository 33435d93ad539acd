import { GatewayError } from "../../core/errors.ts";
import { type JsonText, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { ExchangeEvents, Link, LinkRequest, ServerHello, ServerNotification, ServerRequest } from "../types.ts";
import { cancelled } from "./cancelled.ts";
import { isChange } from "./changes.ts";
import { forInitializedServer } from "./envelope.ts";
import { createHeldQuestions } from "./held-questions.ts";
import { initializeParams, readInitializeResult } from "./initialize.ts";
import type { LinkOptions } from "./options.ts";
import { tooManyRequests } from "./too-many-requests.ts";
import { createWatches } from "./watch-2025.ts";
import { NOBODY, type Wire } from "./wire.ts";

/** Time for a new session where the server has forgotten the old one. */
const RENEWAL_MS = 30_000;

/** Time for the gateway's own requests: a server that leaves one unanswered holds up nothing for ever. */
const OWN_REQUEST_MS = 30_000;

/** Requests in the middle of which a server may need its client. What it asks during others has nothing to do with them. */
const MAY_ASK: ReadonlySet<string> = new Set(["tools/call", "prompts/get", "resources/read"]);

/** What a client must have declared to be asked (2025-11-25, Client Features). */
const NEEDED: ReadonlyMap<string, string> = new Map([
  ["roots/list", "roots"],
  ["sampling/createMessage", "sampling"],
  ["elicitation/create", "elicitation"],
]);

/** One request on its way, under the id that the server knows. */
interface Exchange {
  readonly request: LinkRequest;
  /** The client's own progress token. */
  readonly token: JsonText | undefined;
}

/**
 * Initializes a session with a 2025 server (2025-11-25, Lifecycle), on behalf of the client and with its capabilities.
 *
 * A server that has forgotten the session gets a new one, once for all requests that find out; what it did not process is
 * sent again, log level and subscriptions are set again, and who watches hears that things may have changed.
 *
 * @throws GatewayError `upstream.protocol` where it refuses, and `upstream.*` of the channel. The channel stays open
 */
export async function openInitializedLink(wire: Wire, options: LinkOptions): Promise<Link> {
  const { channel } = wire;
  const watches = createWatches({ capabilities: () => hello.capabilities, ask });
  const exchanges = new Map<number, Exchange>();
  let listener: ExchangeEvents | undefined;
  /** Counts sessions: tells a request whether the one it was sent in is still the present one. */
  let session = 0;
  let renewing: Promise<void> | null = null;
  let alive = true;
  let open = 0;
  let logLevel: string | undefined;
  let headers: Readonly<Record<string, string>> = {};
  let hello: ServerHello = { revision: "", capabilities: "{}", info: null, instructions: undefined };

  const held = createHeldQuestions();
  const outside: ExchangeEvents = { onNotification: arrived, onRequest: askedOutside, onStreamLost };
  wire.outside = outside;
  await initialize(options.signal);

  /** The server may have started anew, without our session: a question finds out, and begins another one. */
  function onStreamLost(): void {
    ask("ping", "{}").catch(() => undefined);
    options.onDoubt?.();
  }

  async function initialize(signal: AbortSignal | undefined): Promise<void> {
    const params = initializeParams(options.client, JSON.stringify(options.gateway));
    const request = { id: wire.nextId(), method: "initialize", params, headers: options.headers, signal };
    hello = readInitializeResult(await channel.request(request, outside));
    headers = { ...options.headers, "mcp-protocol-version": hello.revision };
    await channel.notify("notifications/initialized", undefined, headers);
    session++;
  }

  function renew(lost: number): Promise<void> {
    if (lost !== session && alive) return Promise.resolve();
    alive = false;
    renewing ??= (async () => {
      try {
        await initialize(AbortSignal.timeout(RENEWAL_MS));
        alive = true;
        if (logLevel !== undefined) await askOnce("logging/setLevel", levelParams(logLevel)).catch(() => undefined);
        void watches.restore();
      } finally {
        renewing = null;
      }
    })();
    return renewing;
  }

  /** Runs `send`, and again in a new session where the server answered that it does not know the one it was in. */
  async function inSession<T>(send: () => Promise<T>): Promise<T> {
    if (!alive) await renew(session);
    const used = session;
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== "upstream.session_lost") throw error;
      await renew(used);
      return send();
    }
  }

  function askOnce(method: string, params: JsonText): Promise<Reply> {
    const signal = AbortSignal.timeout(OWN_REQUEST_MS);
    return channel.request({ id: wire.nextId(), method, params, headers, signal }, outside);
  }

  function ask(method: string, params: JsonText): Promise<Reply> {
    return inSession(() => askOnce(method, params));
  }

  async function exchange(request: LinkRequest): Promise<Reply> {
    const { method, signal } = request;
    const id = wire.nextId();
    const { params, token, logLevel: level } = forInitializedServer(request.params, id);
    if (level !== undefined && isMoreVerbose(level, logLevel)) await followLogLevel(level);
    exchanges.set(id, { request, token });
    try {
      return await channel.request(
        { id, method, params, headers: { ...request.headers, "mcp-protocol-version": hello.revision }, signal },
        {
          onNotification: (notification) => arrived(notification, request),
          onRequest(asked, askedSignal) {
            // Only HTTP has a stream for each request; elsewhere the channel has guessed.
            if (channel.kind !== "http" && !MAY_ASK.has(method)) return askedOutside(asked, askedSignal);
            return (asked.method === "ping" ? NOBODY : request).onRequest(asked, askedSignal);
          },
        },
      );
    } catch (error) {
      if (!signal?.aborted) throw error;
      channel.notify("notifications/cancelled", `{"requestId":${id}}`, headers).catch(() => undefined);
      throw cancelled(signal);
    } finally {
      exchanges.delete(id);
    }
  }

  /** Every notification of the server; `request` is the one it came with, as far as the channel can tell. */
  function arrived(notification: ServerNotification, request?: LinkRequest): void {
    const { method, params } = notification;
    if (isChange(method)) watches.tell(notification);
    else if (method === "notifications/progress") progressed(params);
    // Of a request of the server's own: the channel has ended it already.
    else if (method !== "notifications/cancelled") (request ?? receiver() ?? NOBODY).onNotification(notification);
  }

  /** By its token, which is our id: legacy SSE brings it on the one stream that it has. */
  function progressed(params: JsonText | undefined): void {
    const sent = params === undefined ? undefined : memberText(params, "progressToken");
    const exchange = sent === undefined ? undefined : exchanges.get(Number(stringValue(sent) ?? sent));
    if (params === undefined || exchange?.token === undefined) return;
    exchange.request.onNotification({
      method: "notifications/progress",
      params: withMembers(params, { progressToken: exchange.token }),
    });
  }

  /**
   * Who is asked and told what came with no request. On legacy SSE everything comes so, and the request begun last is the
   * best guess there is; elsewhere that is only asked where nobody listens, as for clients without a session.
   */
  function receiver(isQuestion = false): Pick<ExchangeEvents, "onNotification" | "onRequest"> | undefined {
    let last: LinkRequest | undefined;
    if (channel.kind === "sse" || listener === undefined) {
      for (const { request } of exchanges.values()) if (!isQuestion || MAY_ASK.has(request.method)) last = request;
    }
    return last ?? listener;
  }

  function askedOutside(asked: ServerRequest, signal: AbortSignal): Promise<Reply> {
    const needed = NEEDED.get(asked.method);
    const isDeclared = needed !== undefined && memberText(options.client.capabilities, needed) !== undefined;
    if (asked.method === "ping") return NOBODY.onRequest(asked, signal);
    const now = receiver(true) ?? (isDeclared ? undefined : NOBODY);
    return now ? now.onRequest(asked, signal) : held.hold(asked, signal);
  }

  /**
   * A 2026 client says with each request which messages it wants, and this server has one level for all. It is told the
   * most verbose that was wanted: what a request did not want is not passed to its client, but what is not sent is lost.
   */
  async function followLogLevel(level: string): Promise<void> {
    logLevel = level;
    if (memberText(hello.capabilities, "logging") === undefined) return;
    await askOnce("logging/setLevel", levelParams(level)).catch(() => undefined);
  }

  return {
    server: options.server,
    era: "2025",
    get hello() {
      return hello;
    },
    async request(request) {
      if (open >= options.maxOpenRequests) throw tooManyRequests(options.server);
      if (request.signal?.aborted) throw cancelled(request.signal);
      open++;
      try {
        // Before the call: what the server does with it may depend on the answer.
        if (held.size > 0 && MAY_ASK.has(request.method)) await held.putTo(request);
        return await inSession(() => exchange(request));
      } finally {
        open--;
      }
    },
    notify: (method, params) => inSession(() => channel.notify(method, params, headers)),
    async setLogLevel(level) {
      const reply = await ask("logging/setLevel", levelParams(level));
      if ("result" in reply) logLevel = level;
      return reply;
    },
    watch: watches.watch,
    listen(events) {
      listener = events;
      void held.putTo(events);
    },
    closed: channel.closed,
    async close() {
      watches.clear();
      listener = undefined;
      held.refuse();
      wire.outside = NOBODY;
      await channel.close();
    },
  };
}

/** Most verbose first (RFC 5424 §6.2.1). */
const LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

function isMoreVerbose(level: string, than: string | undefined): boolean {
  const rank = LEVELS.indexOf(level);
  return rank !== -1 && (than === undefined || rank < LEVELS.indexOf(than));
}

function levelParams(level: string): JsonText {
  return `{"level":${JSON.stringify(level)}}`;
}
