/**
 * Request smuggling (CWE-444): two servers disagree where a request ends, and the rest of it becomes a request that
 * no policy has seen. What the gateway's parser does not accept as one reading is refused; what it accepts reaches the
 * upstream newly framed, so that there is nothing left to disagree about.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { exchangeRaw } from "../support/raw-sockets.ts";
import { type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
let secret: string;
beforeAll(async () => {
  stage = await startStage();
  // A key for /open alone: a smuggled request to /admin could only come past the policy.
  secret = (await stage.key({ paths: ["/open"] })).secret;
});
afterAll(() => stage[Symbol.asyncDispose]());
beforeEach(() => void (stage.upstream.received.length = 0));

const SMUGGLED = "GET /admin HTTP/1.1\r\nHost: upstream\r\n\r\n";
const POST = "POST /v1/proxy/open HTTP/1.1\r\n";
const common = () => `Host: g\r\nAuthorization: Bearer ${secret}\r\nConnection: close\r\n`;

describe("a request that can be read in two ways", () => {
  it.each<[string, (headers: string) => string]>([
    [
      "CL.TE",
      (h) =>
        `${POST}${h}Content-Length: ${SMUGGLED.length + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    [
      "TE.CL",
      (h) => `${POST}${h}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\na\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    [
      "two different lengths",
      (h) => `${POST}${h}Content-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    ],
    ["two equal lengths", (h) => `${POST}${h}Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody`],
    ["a list of lengths", (h) => `${POST}${h}Content-Length: 0, ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`],
    ["a signed length", (h) => `${POST}${h}Content-Length: +4\r\n\r\nbody`],
    ["a negative length", (h) => `${POST}${h}Content-Length: -1\r\n\r\n${SMUGGLED}`],
    ["a length in hexadecimal", (h) => `${POST}${h}Content-Length: 0x4\r\n\r\nbody`],
    [
      "whitespace before the colon",
      (h) => `${POST}${h}Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    ],
    ["whitespace before the name", (h) => `${POST} Content-Length: 0\r\n${h}\r\n`],
    [
      "a folded Transfer-Encoding",
      (h) => `${POST}${h}Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    [
      "chunked twice",
      (h) => `${POST}${h}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    ],
    ["chunked, but not last", (h) => `${POST}${h}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ["an unknown Transfer-Encoding", (h) => `${POST}${h}Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\nbody`],
    ["a disguised chunked", (h) => `${POST}${h}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
    ["a bare LF between headers", (h) => `${POST}${h}X-A: b\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`],
    ["a bare CR in a value", (h) => `${POST}${h}X-A: b\rContent-Length: 0\r\n\r\n`],
    ["a NUL in a value", (h) => `${POST}${h}X-A: b\0c\r\n\r\n`],
    ["a chunk size with an underscore", (h) => `${POST}${h}Transfer-Encoding: chunked\r\n\r\n1_0\r\na\r\n0\r\n\r\n`],
    [
      "a chunk size beyond all numbers",
      (h) => `${POST}${h}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n`,
    ],
    ["a bare LF after a chunk size", (h) => `${POST}${h}Transfer-Encoding: chunked\r\n\r\n4\nbody\r\n0\r\n\r\n`],
    ["a bare LF in a chunk extension", (h) => `${POST}${h}Transfer-Encoding: chunked\r\n\r\n4;x\nbody\r\n0\r\n\r\n`],
    ["a chunk longer than its size", (h) => `${POST}${h}Transfer-Encoding: chunked\r\n\r\n2\r\nbody\r\n0\r\n\r\n`],
    ["a header line without colon", (h) => `${POST}${h}Content-Length\r\n\r\n`],
    ["a second request line as header", (h) => `${POST}GET /admin HTTP/1.1\r\n${h}\r\n`],
  ])("%s: is refused, or reaches the upstream as one request", async (_name, write) => {
    const answer = await exchangeRaw(stage.gateway.url, write(common()));
    expect(answer).toMatch(/^HTTP\/1\.1 (400|200|502) /);
    const seen = stage.upstream.received;
    expect(seen.filter(({ url }) => url !== "/open")).toEqual([]);
    expect(seen.length).toBeLessThanOrEqual(1);
    if (answer.startsWith("HTTP/1.1 200 ")) {
      // One framing, never two.
      const names = (seen[0]?.rawHeaders ?? []).filter((_part, i) => i % 2 === 0).map((name) => name.toLowerCase());
      expect(names.filter((name) => name === "content-length" || name === "transfer-encoding")).toHaveLength(1);
    }
    // Whatever followed on the connection got at most the gateway's own refusal, as a request without a key.
    for (const [, status] of [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].slice(1))
      expect(["400", "401", "404"]).toContain(status);
  });
});

it("the body of a request that needs none is a body to the upstream too, not the next request", async () => {
  const answer = await exchangeRaw(
    stage.gateway.url,
    `GET /v1/proxy/open HTTP/1.1\r\n${common()}Content-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
  );
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(stage.upstream.received.map(({ url, body }) => [url, body.toString()])).toEqual([["/open", SMUGGLED]]);
});

describe("a trailer section", () => {
  const send = (announced: string, trailers: string) =>
    exchangeRaw(
      stage.gateway.url,
      `${POST}${common()}Transfer-Encoding: chunked\r\nTrailer: ${announced}\r\n\r\n4\r\nbody\r\n0\r\n${trailers}\r\n\r\n`,
    );

  it.each(["Content-Length: 0", "Transfer-Encoding: chunked"])(
    "with %s does not reframe the request",
    async (trailer) => {
      const answer = await send(trailer.split(":")[0] ?? "", trailer);
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
      for (const { url, trailers } of stage.upstream.received) expect([url, trailers]).toEqual(["/open", {}]);
    },
  );

  it("does not bring what a header may not bring", async () => {
    await send("Host, X-Sum", "Host: evil\r\nX-Sum: 1\r\nX-Bifrost-Key-ID: forged\r\nCookie: a=b");
    // A request of the test before may still arrive, cut short.
    const whole = stage.upstream.received.filter(({ body }) => body.length > 0);
    expect(whole.map(({ url, trailers, headers }) => [url, trailers, headers["trailer"]])).toEqual([
      ["/open", { "x-sum": "1" }, "X-Sum"],
    ]);
  });
});
