import { GatewayError, toGatewayError } from "../../core/errors.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { Channel, ChannelEnd, ChannelRequest, ExchangeEvents } from "../types.ts";
import { type Conversation, DEFAULT_HTTP_LIMITS, type HttpLimits } from "./conversation.ts";
import { openLegacyChannel } from "./legacy-channel.ts";
import { openStreamableChannel } from "./streamable-channel.ts";
import type { HttpTransport, HttpUpstreams } from "./upstreams.ts";

export interface HttpChannelDeps {
  readonly upstreams: HttpUpstreams;
  /** Reveals the server's stored credential; needed for `auth.kind = "credential"`. */
  readonly bearer?: () => Promise<string>;
  readonly limits?: Partial<HttpLimits>;
}

/**
 * A channel over HTTP to the server of `transport`. Opens nothing by itself: the first request does. What channels to one
 * server share is in `deps.upstreams`; a channel itself is small, so that thousands of sessions may have one each.
 *
 * With `protocol: "auto"` its kind is `http` until the POST of `initialize` is answered 400, 404 or 405 without JSON-RPC in
 * it and the server turns out to speak legacy SSE (2025-11-25, Backwards Compatibility); then it is `sse`.
 */
export function openHttpChannel(transport: HttpTransport, deps: HttpChannelDeps): Channel {
  const conversation: Conversation = {
    upstream: deps.upstreams.upstreamFor(transport, deps.bearer),
    limits: { ...DEFAULT_HTTP_LIMITS, ...deps.limits },
    sessionId: null,
  };
  if (transport.protocol === "streamable") return openStreamableChannel(conversation);
  if (transport.protocol === "sse") return openLegacyChannel(conversation);
  return openEither(conversation);
}

function openEither(conversation: Conversation): Channel {
  const closed = Promise.withResolvers<ChannelEnd>();
  let trying: Channel | null = null;
  let listener: ExchangeEvents | null = null;
  let active = openStreamableChannel(conversation, ({ request, events, error, status }) => {
    const isUnknown = status === 400 || status === 404 || status === 405;
    return request.method === "initialize" && isUnknown ? tryLegacy(request, events, error) : null;
  });
  void active.closed.then(closed.resolve);

  async function tryLegacy(request: ChannelRequest, events: ExchangeEvents, first: GatewayError): Promise<Reply> {
    const legacy = openLegacyChannel(conversation);
    trying = legacy;
    try {
      await legacy.connect(request.headers);
    } catch (thrown) {
      const detail = `${first.message}; as legacy SSE: ${toGatewayError(thrown).message}`;
      throw new GatewayError(first.code, { detail });
    }
    if (listener) legacy.listen(listener, {});
    active = legacy;
    void legacy.closed.then(closed.resolve);
    return legacy.request(request, events);
  }

  return {
    get kind() {
      return active.kind;
    },
    get sessionId() {
      return active.sessionId;
    },
    request: (request, events) => active.request(request, events),
    notify: (method, params, headers) => active.notify(method, params, headers),
    listen(events, headers) {
      listener = events;
      active.listen(events, headers);
    },
    closed: closed.promise,
    async close() {
      await Promise.all([active.close(), trying?.close()]);
    },
  };
}
