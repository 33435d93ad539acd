/**
 * Weakness H17: server-side request forgery. A service's origin is chosen by someone who may not be trusted with the
 * gateway's network. The address that is connected to decides, not the name, however the address is written and
 * whatever the name server says the second time.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Service } from "../../src/services/model.ts";
import { type ProxyGateway, startProxyGateway } from "../support/proxy-gateway.ts";
import { exchangeRaw } from "../support/raw-sockets.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

let gateway: ProxyGateway;
let upstream: Upstream;
/** What the name server answers, in this order; the last one for ever. */
let answers: { address: string; family: number }[][] = [];
let asked = 0;

beforeAll(async () => {
  gateway = await startProxyGateway({
    resolve: ((_host: string, _options: unknown, reply: (error: null, found: unknown) => void) => {
      const answer = answers[Math.min(asked, answers.length - 1)];
      asked += 1;
      reply(null, answer);
    }) as never,
  });
  upstream = await startUpstream({
    "/to-metadata": (_req, res) => void res.writeHead(302, { location: "http://169.254.169.254/latest/" }).end(),
    "/to-loopback": (_req, res) => void res.writeHead(307, { location: "http://127.0.0.1:1/" }).end(),
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});
beforeEach(() => {
  asked = 0;
  answers = [];
});

async function call(service: Service, path = "/v1/proxy/x"): Promise<{ status: number; code: string | undefined }> {
  const { secret } = await gateway.key(service);
  const response = await fetch(gateway.url + path, {
    headers: { authorization: `Bearer ${secret}` },
    redirect: "manual",
  });
  const text = await response.text();
  const code = text.startsWith("{") ? (JSON.parse(text) as { code?: string }).code : undefined;
  return { status: response.status, code };
}

const REFUSED = { status: 502, code: "upstream.address_refused" };
const four = (address: string) => ({ address, family: 4 });
const six = (address: string) => ({ address, family: 6 });

describe("an origin that is an address inside", () => {
  it.each([
    "http://127.0.0.1:PORT",
    "http://2130706433:PORT",
    "http://0x7f000001:PORT",
    "http://0177.0.0.1:PORT",
    "http://127.1:PORT",
    "http://127.0.0.1.:PORT",
    "http://0.0.0.0:PORT",
    "http://[::1]:PORT",
    "http://[::]:PORT",
    "http://[::ffff:127.0.0.1]:PORT",
    "http://[::ffff:7f00:1]:PORT",
    "http://[64:ff9b::7f00:1]:PORT",
    "http://[2002:7f00:1::]:PORT",
    "http://[fe80::1]:PORT",
    "http://[fd00:ec2::254]",
    "http://169.254.169.254",
    "http://10.0.0.1",
    "http://192.168.1.1",
    "http://172.16.0.1",
    "http://100.64.0.1",
  ])("%s is refused before any connection is made", async (origin) => {
    const before = upstream.connections();
    const service = await gateway.service(origin.replace("PORT", String(upstream.port)), {
      settings: { allowAddresses: [] },
    });
    expect(await call(service)).toEqual(REFUSED);
    expect(upstream.connections()).toBe(before);
  });
});

describe("a name that leads inside", () => {
  it.each([
    ["loopback", [four("127.0.0.1")]],
    ["IPv6 loopback", [six("::1")]],
    ["IPv4-mapped loopback", [six("::ffff:127.0.0.1")]],
    ["metadata", [four("169.254.169.254")]],
    ["a private network", [four("10.1.2.3"), four("192.168.0.1")]],
    ["nothing at all", []],
  ])("to %s is refused before any connection is made", async (_where, found) => {
    answers = [found];
    const before = upstream.connections();
    const service = await gateway.service(`http://inside.test:${upstream.port}`, { settings: { allowAddresses: [] } });
    expect(await call(service)).toEqual(REFUSED);
    expect(upstream.connections()).toBe(before);
  });

  it("among addresses outside is never connected to", async () => {
    // The other address is allowed but does not answer: only the refused one would have.
    answers = [[four("127.0.0.1"), four("127.0.0.2")]];
    const service = await gateway.service(`http://mixed.test:${upstream.port}`, {
      settings: { allowAddresses: ["127.0.0.2/32"] },
    });
    const before = upstream.connections();
    expect((await call(service)).code).toBe("upstream.unreachable");
    expect(upstream.connections()).toBe(before);
  });

  it("only at the second look (DNS rebinding) is refused then: the address checked is the address connected to", async () => {
    answers = [[four("127.0.0.1")], [four("127.0.0.9")]];
    const service = await gateway.service(`http://rebind.test:${upstream.port}`, {
      settings: { allowAddresses: ["127.0.0.1/32"] },
    });
    expect((await call(service)).status).toBe(200);
    expect(asked).toBe(1);
    // Takes the connection down with it: the next request needs another one, and looks the name up again.
    const { secret } = await gateway.key(service);
    const hanging = await fetch(`${gateway.url}/v1/proxy/hang`, {
      headers: { authorization: `Bearer ${secret}` },
      signal: AbortSignal.timeout(50),
    }).catch(() => null);
    expect(hanging).toBeNull();
    expect(await call(service)).toEqual(REFUSED);
    expect(asked).toBeGreaterThan(1);
  });

  it("is refused for upgrades and for requests with trailers, which have connections of their own", async () => {
    answers = [[four("127.0.0.1")]];
    const service = await gateway.service(`http://inside.test:${upstream.port}`, { settings: { allowAddresses: [] } });
    const { secret } = await gateway.key(service);
    const before = upstream.connections();
    for (const extra of [
      "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
      "Connection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n0\r\nX-A: 1\r\n\r\n",
    ]) {
      const answer = await exchangeRaw(
        gateway.url,
        `GET /v1/proxy/x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${secret}\r\n${extra}`,
      );
      expect(answer).toContain('"code":"upstream.address_refused"');
    }
    expect(upstream.connections()).toBe(before);
  });
});

describe("an allowance", () => {
  it("of all of loopback, private and link-local opens no metadata address", async () => {
    answers = [[four("169.254.169.254")]];
    const service = await gateway.service("http://metadata.test", {
      settings: { allowAddresses: ["loopback", "private", "link_local", "169.254.0.0/16", "0.0.0.0/0"] },
    });
    expect(await call(service)).toEqual(REFUSED);
  });

  it("of one service is none of another's on the same origin", async () => {
    const open = await gateway.service(upstream.origin);
    const closed = await gateway.service(upstream.origin, { settings: { allowAddresses: [] } });
    expect((await call(open)).status).toBe(200);
    expect(await call(closed)).toEqual(REFUSED);
  });
});

describe("a redirect", () => {
  it.each(["/to-metadata", "/to-loopback"])("%s is told to the client and never followed", async (path) => {
    const service = await gateway.service(upstream.origin);
    const calls = upstream.received.length;
    expect((await call(service, `/v1/proxy${path}`)).status).toBeGreaterThanOrEqual(302);
    expect(upstream.received.length).toBe(calls + 1);
  });
});
