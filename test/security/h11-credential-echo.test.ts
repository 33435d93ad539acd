/**
 * Weakness H11: credential echo. An upstream that answers with what it received (a debug endpoint, an error page)
 * hands the real credential to the agent. The gateway masks it wherever it comes back readable; services set to
 * `strict` also take no answer that it cannot read.
 */
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { REAL_SECRET } from "../support/proxy-gateway.ts";
import { parseAnswer, type Stage, startStage } from "../support/stage.ts";

const MASKED = "*".repeat(REAL_SECRET.length);
let stage: Stage;

beforeAll(async () => {
  stage = await startStage(
    {},
    {
      "/header": (_req, res) => {
        res.writeHead(400, `Bad key ${REAL_SECRET}`, { "x-received": `Bearer ${REAL_SECRET}`, "content-length": 0 });
        res.end();
      },
      "/redirect": (req, res) => void res.writeHead(302, { location: `https://else.test/?k=${REAL_SECRET}` }).end(),
      "/pieces": (_req, res) => {
        res.writeHead(200, { "content-type": "text/plain" });
        const bytes = `before ${REAL_SECRET} after`.split("");
        const next = () => {
          const byte = bytes.shift();
          if (byte === undefined) res.end();
          else res.write(byte, () => setImmediate(next));
        };
        next();
      },
      "/trailer": (_req, res) => {
        res.writeHead(200, { trailer: "x-received" });
        res.write("body");
        res.addTrailers({ "x-received": REAL_SECRET });
        res.end();
      },
      "/gzip": (_req, res) => {
        res.writeHead(200, { "content-encoding": "gzip" });
        res.end(gzipSync(REAL_SECRET));
      },
      "/gzip-if-asked": (req, res) => {
        const isCoded = /gzip/.test(String(req.headers["accept-encoding"]));
        res.writeHead(200, isCoded ? { "content-encoding": "gzip" } : {});
        res.end(isCoded ? gzipSync(REAL_SECRET) : REAL_SECRET);
      },
    },
  );
});
afterAll(() => stage[Symbol.asyncDispose]());

async function ask(path: string, settings: Parameters<Stage["key"]>[0] = {}, secret?: string): Promise<string> {
  const key = await stage.key(settings, {}, secret === undefined ? {} : { secret });
  return stage.raw(`GET /v1/proxy${path}`, [
    `Authorization: Bearer ${key.secret}`,
    "TE: trailers",
    "Accept-Encoding: gzip",
  ]);
}

describe("a credential that the upstream echoes", () => {
  it.each([
    ["in a header and the reason phrase", "/header"],
    ["in a redirect", "/redirect"],
    ["in a body, byte by byte", "/pieces"],
    ["in a trailer", "/trailer"],
    ["in a body of known length", "/x"],
  ])("%s does not reach the client", async (_where, path) => {
    const answer = await ask(path);
    expect(answer).not.toContain(REAL_SECRET);
    expect(answer.replace(/\r\n1\r\n|\r\n/g, "")).toContain("*".repeat(8));
  });

  it("is masked by as many asterisks, so that no length is wrong", async () => {
    const { headers, body } = parseAnswer(await ask("/x"));
    expect(body.length).toBe(Number(headers["content-length"]));
    expect((JSON.parse(body) as { headers: { authorization: string } }).headers.authorization).toBe(`Bearer ${MASKED}`);
  });

  it("as Basic credentials is masked in that form too", async () => {
    const answer = await ask("/x", { injection: { kind: "basic", username: "bob" } });
    expect(answer).not.toContain(Buffer.from(`bob:${REAL_SECRET}`).toString("base64"));
    expect(answer).toContain("Basic ****");
  });

  it("from the query is masked as it was encoded and as it was", async () => {
    const secret = 'sk/real+secret&"0123456789"';
    const answer = await ask("/x", { injection: { kind: "query", name: "key" } }, secret);
    expect(stage.upstream.received.at(-1)?.url).toBe(`/x?key=${encodeURIComponent(secret)}`);
    expect(answer).not.toContain(encodeURIComponent(secret));
    expect(answer).toContain("/x?key=****");
  });

  it("with quotes is masked as JSON writes it", async () => {
    const secret = 'sk-"quoted"-\\secret-0123456789';
    const answer = await ask(
      "/x",
      { injection: { kind: "header", name: "X-Token", prefix: "", template: null } },
      secret,
    );
    expect(answer).not.toContain(JSON.stringify(secret).slice(1, -1));
    expect(answer).toContain('"x-token":"****');
  });
});

describe("a service with credential_echo = strict", () => {
  it("asks for no content coding, whatever the client accepts, and so masks what others would compress", async () => {
    const answer = await ask("/gzip-if-asked", { credentialEcho: "strict" });
    expect(stage.upstream.received.at(-1)?.headers["accept-encoding"]).toBe("identity");
    expect(answer).toContain(MASKED);
  });

  it("refuses an answer in a content coding that it did not ask for", async () => {
    const { status, body } = parseAnswer(await ask("/gzip", { credentialEcho: "strict" }));
    expect(status).toBe(502);
    expect(body).toContain('"code":"upstream.protocol"');
  });
});
