import type { ServerResponse } from "node:http";
import type { Clock } from "../../src/core/clock.ts";
import type { Resolve } from "../../src/core/guarded-lookup.ts";
import type { HttpLimits } from "../../src/mcp-links/http/conversation.ts";
import { openHttpChannel } from "../../src/mcp-links/http/open-channel.ts";
import { createHttpUpstreams, type HttpTransport } from "../../src/mcp-links/http/upstreams.ts";
import type { Channel, ChannelRequest, ExchangeEvents } from "../../src/mcp-links/types.ts";
import { type Answer, httpTransport, type Received, type ScriptedServer, scriptedServer } from "./mcp-http-server.ts";

export interface ChannelSetup {
  readonly transport?: Partial<HttpTransport>;
  readonly limits?: Partial<HttpLimits>;
  readonly bearer?: () => Promise<string>;
  readonly resolve?: Resolve;
  readonly clock?: Clock;
}

/** Opens channels and servers, and ends them all. */
export function channelBench() {
  const cleanups: (() => Promise<void>)[] = [];

  /** A channel to whatever is at the URL. */
  function channelTo(url: string, { transport, limits, bearer, resolve, clock }: ChannelSetup = {}): Channel {
    const upstreams = createHttpUpstreams({ ...(resolve && { resolve }), ...(clock && { clock }) });
    const channel = openHttpChannel(httpTransport(url, transport), {
      upstreams,
      ...(limits && { limits }),
      ...(bearer && { bearer }),
    });
    cleanups.push(
      () => upstreams.close(),
      () => channel.close(),
    );
    return channel;
  }

  return {
    channelTo,
    /** A server that answers as the test says. */
    async server(answer: Answer): Promise<ScriptedServer> {
      const server = await scriptedServer(answer);
      cleanups.push(() => server.close());
      return server;
    },
    /** Both. */
    async open(answer: Answer, setup: ChannelSetup = {}): Promise<{ server: ScriptedServer; channel: Channel }> {
      const server = await scriptedServer(answer);
      cleanups.push(() => server.close());
      return { server, channel: channelTo(server.url, setup) };
    },
    onEnd: (cleanup: () => Promise<void>) => cleanups.push(cleanup),
    async end(): Promise<void> {
      for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
    },
  };
}

/** A request to send over a channel. */
export function call(id: number, method = "tools/call", more: Partial<ChannelRequest> = {}): ChannelRequest {
  return { id, method, params: `{"name":"x"}`, headers: {}, signal: undefined, ...more };
}

/** Hears nothing, and answers every request with an empty result. */
export const silent: ExchangeEvents = {
  onNotification: () => undefined,
  onRequest: () => Promise.resolve({ result: "{}" }),
};

/** A response with a result. */
export const resultOf = (id: unknown, result: unknown = { ok: true }) => ({ jsonrpc: "2.0", id, result });

/** Answers `initialize` with session `s1`, and accepts its confirmation; false for anything else. */
export function answerHandshake(received: Received, response: ServerResponse): boolean {
  if (received.message.method === "initialize") {
    const text = JSON.stringify(resultOf(received.message.id));
    response.writeHead(200, { "content-type": "application/json", "mcp-session-id": "s1" }).end(text);
  } else if (received.message.method === "notifications/initialized") response.writeHead(202).end();
  else return false;
  return true;
}
