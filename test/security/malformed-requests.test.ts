/** Requests that no honest client sends: none is forwarded, none harms the gateway, none is answered with a secret. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { exchangeRaw } from "../support/raw-sockets.ts";
import { type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
let secret: string;
beforeAll(async () => {
  stage = await startStage();
  secret = (await stage.key()).secret;
});
afterAll(() => stage[Symbol.asyncDispose]());
beforeEach(() => void (stage.upstream.received.length = 0));
afterEach(async () => {
  // Alive, and in order.
  expect((await stage.echo({ secret }, "GET /v1/proxy/alive")).url).toBe("/alive");
});

describe("a request target", () => {
  it.each([
    "http://127.0.0.1/v1/proxy/x",
    "http://evil.test/v1/proxy/x",
    "https://gateway.test/v1/proxy/x",
    "//evil.test/v1/proxy/x",
    "//v1/proxy/x",
    "/v1/proxyx",
    "/V1/PROXY/x",
    "/v1/./proxy/x",
    "/x/../v1/proxy/x",
    "/v1%2Fproxy/x",
    "/v1/services/../proxy/x",
    "/v1/services//proxy/x",
    "*",
  ])("%s is not the proxy's, and goes nowhere", async (target) => {
    const answer = await stage.raw(`GET ${target}`, [`Authorization: Bearer ${secret}`]);
    expect(answer).toMatch(/^HTTP\/1\.1 (400|404) /);
    expect(stage.upstream.received).toEqual([]);
    expect(answer).not.toContain(secret);
  });

  it.each([
    "/v1/proxy/a b",
    "/v1/proxy/\x01",
    "/v1/proxy/\x7f",
    "/v1/proxy/\xe4",
    "/v1/proxy/x#frag",
    "/v1/proxy/x?a#b",
  ])("%j with what a target may not hold is refused", async (target) => {
    const answer = await stage.raw(`GET ${target}`, [`Authorization: Bearer ${secret}`]);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(stage.upstream.received).toEqual([]);
  });
});

describe("a head", () => {
  it.each([
    ["with one header of a megabyte", () => `X-Big: ${"x".repeat(1_000_000)}\r\n`],
    ["with very many headers", () => "X-A: b\r\n".repeat(10_000)],
  ])("%s is refused and the connection closed", async (_name, make) => {
    const answer = await exchangeRaw(
      stage.gateway.url,
      `GET /v1/proxy/x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${secret}\r\n${make()}\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 (400|431) |^$/);
    expect(stage.upstream.received).toEqual([]);
  });

  it("with a target of a megabyte is refused and the connection closed", async () => {
    const answer = await exchangeRaw(
      stage.gateway.url,
      `GET /v1/proxy/${"x".repeat(1_000_000)} HTTP/1.1\r\nHost: g\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 (400|414|431) |^$/);
    expect(stage.upstream.received).toEqual([]);
  });

  it("without Host, or with two, is refused", async () => {
    const auth = `Authorization: Bearer ${secret}\r\nConnection: close\r\n`;
    expect(await exchangeRaw(stage.gateway.url, `GET /v1/proxy/x HTTP/1.1\r\n${auth}\r\n`)).toMatch(/^HTTP\/1\.1 400 /);
    const two = await exchangeRaw(stage.gateway.url, `GET /v1/proxy/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n${auth}\r\n`);
    if (two.startsWith("HTTP/1.1 200 ")) {
      expect(stage.upstream.received.at(-1)?.headers.host).toBe(`127.0.0.1:${stage.upstream.port}`);
    }
  });

  it("with the key twice presents no key that anyone could be confused about", async () => {
    const other = await stage.key();
    const answer = await stage.raw("GET /v1/proxy/x", [`X-Virtual-Key: ${secret}`, `X-Virtual-Key: ${other.secret}`]);
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(stage.upstream.received).toEqual([]);
  });

  it("of TLS, HTTP/2 or no protocol at all is refused", async () => {
    for (const bytes of [
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "hello\r\n\r\n",
      "\0\0\0\0",
    ]) {
      expect(await exchangeRaw(stage.gateway.url, bytes)).toMatch(/^HTTP\/1\.1 4\d\d /);
    }
  });

  it("that expects what the gateway does not know is refused before anything is forwarded", async () => {
    const answer = await stage.raw(
      "POST /v1/proxy/x",
      [`Authorization: Bearer ${secret}`, "Expect: miracles", "Content-Length: 4"],
      "body",
    );
    expect(answer).toMatch(/^HTTP\/1\.1 417 /);
    expect(stage.upstream.received).toEqual([]);
  });

  it("of HTTP/1.0 is answered without chunks, and its body ends with the connection", async () => {
    const answer = await exchangeRaw(
      stage.gateway.url,
      `GET /v1/proxy/trailers HTTP/1.0\r\nAuthorization: Bearer ${secret}\r\n\r\n`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).not.toMatch(/transfer-encoding/i);
    expect(answer.endsWith("\r\n\r\nbody")).toBe(true);
  });
});
