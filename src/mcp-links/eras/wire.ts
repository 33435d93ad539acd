import { RPC } from "../../jsonrpc/codes.ts";
import { errorReply } from "../../jsonrpc/message.ts";
import type { Channel, ExchangeEvents } from "../types.ts";

/** A channel while it is found out which era is spoken over it, and afterwards. */
export interface Wire {
  readonly channel: Channel;
  /** Ids of requests; one count for all that is said over the channel. */
  nextId(): number;
  /** Who hears of what belongs to no request. */
  outside: ExchangeEvents;
  /** The channel has ended. */
  readonly ended: boolean;
}

/** For where nobody listens. Pings are answered nevertheless: they ask for the connection, not for a client. */
export const NOBODY: ExchangeEvents = {
  onNotification: () => undefined,
  onRequest: async ({ method }) =>
    method === "ping" ? { result: "{}" } : errorReply(RPC.methodNotFound, "no client is there to answer this"),
};

/** Begins to listen at once: a channel wants it before its first request, when the era is not yet known. */
export function createWire(channel: Channel, headers: Readonly<Record<string, string>>): Wire {
  let lastId = 0;
  let ended = false;
  const wire: Wire = {
    channel,
    nextId: () => ++lastId,
    outside: NOBODY,
    get ended() {
      return ended;
    },
  };
  channel.listen(
    {
      onNotification: (notification) => wire.outside.onNotification(notification),
      onRequest: (request, signal) => wire.outside.onRequest(request, signal),
      onStreamLost: () => wire.outside.onStreamLost?.(),
    },
    headers,
  );
  void channel.closed.then(() => {
    ended = true;
  });
  return wire;
}
