import type { ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { call, type ChannelSetup, channelBench, resultOf, silent } from "../../../test/support/mcp-http-channel.ts";
import { type Received, sendJson } from "../../../test/support/mcp-http-server.ts";
import { createManualClock } from "../../../test/support/manual-clock.ts";
import type { HttpTransport } from "./upstreams.ts";

const bench = channelBench();
afterEach(() => bench.end());

type OAuth = Extract<HttpTransport["auth"], { kind: "oauth" }>;

/** An MCP server and a token endpoint in one. */
async function open(
  token: (received: Received, response: ServerResponse) => void,
  mcp: (received: Received, response: ServerResponse) => void = (received, response) =>
    sendJson(response, resultOf(received.message.id)),
  auth: Partial<OAuth> = {},
  setup: ChannelSetup = {},
) {
  const server = await bench.server((received, response) =>
    received.url === "/token" ? token(received, response) : mcp(received, response),
  );
  const channel = bench.channelTo(server.url, {
    ...setup,
    transport: {
      ...setup.transport,
      auth: {
        kind: "oauth",
        tokenUrl: new URL("/token", server.url).href,
        clientId: "the client",
        clientSecret: "s3cret/+:",
        scopes: ["a", "b"],
        audience: "aud",
        resource: "https://mcp.example/",
        clientAuth: "basic",
        ...auth,
      },
    },
  });
  const requests = (url: string) => server.received.filter((received) => received.url === url);
  return { server, channel, tokens: () => requests("/token"), calls: () => requests("/mcp") };
}

/** Gives `t1`, `t2` and so on. */
function counting(expiresIn?: number | string) {
  let count = 0;
  return (_received: Received, response: ServerResponse): void =>
    sendJson(response, {
      access_token: `t${++count}`,
      token_type: "bearer",
      ...(expiresIn && { expires_in: expiresIn }),
    });
}

describe("a token of the client credentials grant", () => {
  it("is asked for with scope, audience and resource, and sent as Bearer", async () => {
    const { channel, tokens, calls } = await open(counting());
    await channel.request(call(1, "tools/call", { headers: { authorization: "Bearer of-the-caller" } }), silent);
    const [asked] = tokens();
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toEqual({
      grant_type: "client_credentials",
      scope: "a b",
      audience: "aud",
      resource: "https://mcp.example/",
    });
    const basic = Buffer.from("the+client:s3cret%2F%2B%3A").toString("base64");
    expect(asked?.headers.authorization).toBe(`Basic ${basic}`);
    expect(calls()[0]?.headers.authorization).toBe("Bearer t1");
  });

  it("is asked for with the secret in the body where the endpoint wants that", async () => {
    const { channel, tokens } = await open(counting(), undefined, { clientAuth: "post", scopes: [], audience: null });
    await channel.request(call(1), silent);
    expect(tokens()[0]?.headers.authorization).toBeUndefined();
    expect(Object.fromEntries(new URLSearchParams(tokens()[0]?.body))).toMatchObject({
      client_id: "the client",
      client_secret: "s3cret/+:",
    });
  });

  it("is asked for once, however many calls wait for it", async () => {
    const { channel, tokens } = await open(counting());
    await Promise.all(Array.from({ length: 20 }, (_, i) => channel.request(call(i), silent)));
    expect(tokens()).toHaveLength(1);
  });

  it.each([
    ["600", 540_000],
    [600, 540_000],
    [60, 30_000],
    [undefined, 240_000],
  ])("that expires in %s is used for %i ms", async (expiresIn, use) => {
    const clock = createManualClock();
    const { channel, tokens } = await open(counting(expiresIn), undefined, {}, { clock });
    await channel.request(call(1), silent);
    clock.advance(use - 1);
    await channel.request(call(2), silent);
    expect(tokens()).toHaveLength(1);
    clock.advance(1);
    await channel.request(call(3), silent);
    expect(tokens()).toHaveLength(2);
  });

  it("that the server refuses is renewed once, and the request repeated once", async () => {
    const { channel, tokens, calls } = await open(counting(), (received, response) => {
      if (received.headers.authorization === "Bearer t1") response.writeHead(401).end();
      else sendJson(response, resultOf(received.message.id));
    });
    expect(await channel.request(call(1), silent)).toEqual({ result: `{"ok":true}` });
    expect(tokens()).toHaveLength(2);
    expect(calls()).toHaveLength(2);
  });

  it("does not become a loop where the server refuses every one", async () => {
    const clock = createManualClock();
    const always401 = (_received: Received, response: ServerResponse): void => void response.writeHead(401).end();
    const { channel, tokens } = await open(counting(), always401, {}, { clock });
    for (let i = 0; i < 10; i++)
      await expect(channel.request(call(i), silent)).rejects.toMatchObject({ code: "upstream.refused" });
    expect(tokens().length).toBeLessThanOrEqual(3);
  });

  it.each([
    ["is refused", 401, { error: "invalid_client", error_description: "s3cret/+: is wrong" }, "upstream.refused"],
    ["redirects", 307, {}, "upstream.refused"],
    ["is down", 503, {}, "upstream.unavailable"],
    ["gives no token", 200, { token: "x" }, "upstream.protocol"],
    ["gives another kind of token", 200, { access_token: "x", token_type: "mac" }, "upstream.protocol"],
    ["gives a token that no header may have", 200, { access_token: "x\r\ny: z" }, "upstream.refused"],
    ["answers without end", 200, { access_token: "x".repeat(100_000) }, "upstream.too_large"],
  ])("is not there when its endpoint %s, and the error shows no secret", async (_what, status, body, code) => {
    const { channel } = await open((_received, response) =>
      sendJson(response, body, status, { location: "http://169.254.169.254/" }),
    );
    const thrown: unknown = await channel.request(call(1), silent).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code });
    expect(String(thrown)).not.toMatch(/s3cret|wrong/);
  });
});

describe("a stored credential", () => {
  it("is sent as Bearer, and wins over a configured and a forwarded Authorization", async () => {
    const { channel, server } = await bench.open(
      (received, response) => sendJson(response, resultOf(received.message.id)),
      {
        transport: { auth: { kind: "credential", credential: "c" }, headers: { Authorization: "Basic x" } },
        bearer: () => Promise.resolve("root"),
      },
    );
    await channel.request(call(1, "ping", { headers: { authorization: "Bearer caller" } }), silent);
    expect(server.received[0]?.headers.authorization).toBe("Bearer root");
  });

  it("that was rotated meanwhile is picked up when the old one is refused", async () => {
    const secrets = ["old", "new"];
    const { channel } = await bench.open(
      (received, response) => {
        if (received.headers.authorization === "Bearer new") sendJson(response, resultOf(received.message.id));
        else response.writeHead(401).end();
      },
      {
        transport: { auth: { kind: "credential", credential: "c" } },
        bearer: () => Promise.resolve(secrets.shift() ?? "new"),
      },
    );
    expect(await channel.request(call(1), silent)).toEqual({ result: `{"ok":true}` });
  });

  it("that is refused is refused, after one request", async () => {
    const { channel, server } = await bench.open((_received, response) => void response.writeHead(401).end(), {
      transport: { auth: { kind: "credential", credential: "c" } },
      bearer: () => Promise.resolve("root"),
    });
    await expect(channel.request(call(1), silent)).rejects.toMatchObject({ code: "upstream.refused" });
    expect(server.received).toHaveLength(1);
  });
});
