import { GatewayError } from "../../core/errors.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, memberText } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import type { Channel, ExchangeEvents, Link, LinkRequest, ServerHello, ServerNotification } from "../types.ts";
import { cancelled } from "./cancelled.ts";
import { isChange } from "./changes.ts";
import { forInitializedServer, withClientToken } from "./envelope.ts";
import { initializeParams, readInitializeResult } from "./initialize.ts";
import type { LinkOptions, RequestIds } from "./options.ts";
import { createWatches } from "./watch-2025.ts";

/** Time for a new session where the server has forgotten the old one. */
const RENEWAL_MS = 30_000;

const PONG: Reply = { result: "{}" };

/**
 * Initializes a session with a 2025 server (2025-11-25, Lifecycle), on behalf of the client and with its capabilities.
 *
 * A server that has forgotten the session gets a new one, once for all requests that find out; what it did not process is
 * sent again, log level and subscriptions are set again, and who watches hears that things may have changed.
 *
 * @throws GatewayError `upstream.protocol` where it refuses, and `upstream.*` of the channel. The channel stays open
 */
export async function openInitializedLink(channel: Channel, options: LinkOptions, ids: RequestIds): Promise<Link> {
  const listener: { events: ExchangeEvents | undefined } = { events: undefined };
  const watches = createWatches({ capabilities: () => hello.capabilities, ask });
  const outside = outsideEvents(listener, (change) => watches.tell(change));
  /** Counts sessions: tells a request whether the one it was sent in is still the present one. */
  let session = 0;
  let renewing: Promise<void> | null = null;
  let alive = true;
  let open = 0;
  let logLevel: string | undefined;
  let headers: Readonly<Record<string, string>> = {};
  let hello: ServerHello = { revision: "", capabilities: "{}", info: null, instructions: undefined };

  // Elsewhere a stream of its own has to be opened, which takes the revision and the session.
  if (channel.kind !== "http") channel.listen(outside, options.headers);
  await initialize(options.signal);

  async function initialize(signal: AbortSignal | undefined): Promise<void> {
    const params = initializeParams(options.client, JSON.stringify(options.gateway));
    const request = { id: ids.next(), method: "initialize", params, headers: options.headers, signal };
    hello = readInitializeResult(await channel.request(request, outside));
    headers = { ...options.headers, "mcp-protocol-version": hello.revision };
    await channel.notify("notifications/initialized", undefined, headers);
    if (channel.kind === "http" && session === 0) channel.listen(outside, headers);
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
    return channel.request({ id: ids.next(), method, params, headers, signal: undefined }, outside);
  }

  function ask(method: string, params: JsonText): Promise<Reply> {
    return inSession(() => askOnce(method, params));
  }

  async function exchange(request: LinkRequest): Promise<Reply> {
    const { method, signal } = request;
    const id = ids.next();
    const { params, token, logLevel: level } = forInitializedServer(request.params, id);
    if (level !== undefined && level !== logLevel) await followLogLevel(level);
    try {
      return await channel.request(
        { id, method, params, headers: { ...request.headers, "mcp-protocol-version": hello.revision }, signal },
        requestEvents(request, id, token),
      );
    } catch (error) {
      if (!signal?.aborted) throw error;
      channel.notify("notifications/cancelled", `{"requestId":${id}}`, headers).catch(() => undefined);
      throw cancelled(signal);
    }
  }

  function requestEvents(request: LinkRequest, id: number, token: JsonText | undefined): ExchangeEvents {
    return {
      onNotification(notification) {
        const { method, params } = notification;
        if (isChange(method)) watches.tell(notification);
        else if (method === "notifications/progress") {
          const restored = token === undefined ? null : withClientToken(params, id, token);
          if (restored !== null) request.onNotification({ method, params: restored });
        } else if (method !== "notifications/cancelled") request.onNotification(notification);
      },
      async onRequest(asked, signal) {
        return asked.method === "ping" ? PONG : request.onRequest(asked, signal);
      },
    };
  }

  /** A 2026 client says with each request which messages it wants; this server is told when that differs from before. */
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
      if (open >= options.maxOpenRequests) throw tooMany(options.server);
      if (request.signal?.aborted) throw cancelled(request.signal);
      open++;
      try {
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
      listener.events = events;
    },
    closed: channel.closed,
    async close() {
      watches.clear();
      listener.events = undefined;
      await channel.close();
    },
  };
}

/** What arrives outside of any request, or within one of the gateway's own. */
function outsideEvents(
  listener: { readonly events: ExchangeEvents | undefined },
  onChange: (notification: ServerNotification) => void,
): ExchangeEvents {
  return {
    onNotification(notification) {
      const { method } = notification;
      if (isChange(method)) onChange(notification);
      // Progress of a request that is over, and a request of the server's that the channel has taken back already.
      else if (method !== "notifications/progress" && method !== "notifications/cancelled") {
        listener.events?.onNotification(notification);
      }
    },
    async onRequest(request, signal) {
      if (request.method === "ping") return PONG;
      if (!listener.events) return errorReply(RPC.methodNotFound, "no client is listening");
      return listener.events.onRequest(request, signal);
    },
  };
}

function levelParams(level: string): JsonText {
  return `{"level":${JSON.stringify(level)}}`;
}

export function tooMany(server: string): GatewayError {
  return new GatewayError("upstream.unavailable", {
    message: "too many requests to this MCP server are open at once",
    detail: `${server}: no more than the link's limit`,
    headers: { "retry-after": "1" },
  });
}
