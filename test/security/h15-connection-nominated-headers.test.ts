/**
 * Weakness H15: a `Connection` header names other headers that a proxy must drop (RFC 9110 §7.6.1). Where the proxy's
 * own headers are already among them, a client removes its identity, or the credential, from its request.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { REAL_SECRET } from "../support/proxy-gateway.ts";
import { exchangeRaw } from "../support/raw-sockets.ts";
import { type Echo, type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
beforeAll(async () => {
  stage = await startStage(
    {},
    {
      "/nominates": (_req, res) => {
        res.writeHead(200, {
          connection: "close, X-Internal, X-Request-ID, RateLimit",
          "x-internal": "hop",
          "x-kept": "end",
        });
        res.end();
      },
    },
  );
});
afterAll(() => stage[Symbol.asyncDispose]());

async function ask(connection: string, ...more: string[]): Promise<{ echo: Echo; keyId: string }> {
  const key = await stage.key({}, { source: "mcp", agentId: "agent-7" });
  const answer = await exchangeRaw(
    stage.gateway.url,
    ["GET /v1/proxy/x HTTP/1.1", "Host: g", `X-Virtual-Key: ${key.secret}`, connection, ...more, "", ""].join("\r\n"),
  );
  return { echo: JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)) as Echo, keyId: key.id };
}

it.each([
  "Connection: close, X-Bifrost-Key-ID, X-Bifrost-Agent-ID, Authorization, X-Request-ID, Host, Content-Length",
  "Connection: x-bifrost-key-id,x-bifrost-agent-id,authorization,x-request-id,host,close",
  "Connection: close\r\nConnection: X-Bifrost-Key-ID, X-Bifrost-Agent-ID\r\nConnection: Authorization, X-Request-ID",
])("%s removes none of the gateway's own headers", async (connection) => {
  const { echo, keyId } = await ask(connection);
  expect(echo.headers["x-bifrost-key-id"]).toBe(keyId);
  expect(echo.headers["x-bifrost-agent-id"]).toBe("agent-7");
  expect(echo.headers["authorization"]).toBe(`Bearer ${"*".repeat(REAL_SECRET.length)}`);
  expect(stage.upstream.received.at(-1)?.headers.authorization).toBe(`Bearer ${REAL_SECRET}`);
  expect(echo.headers["x-request-id"]).toMatch(/^req_/);
});

it("what the client declares hop-by-hop ends at the gateway, and so does every header that always is", async () => {
  const { echo } = await ask(
    "Connection: close, X-Hop",
    "X-Hop: 1",
    "X-End: 2",
    "Keep-Alive: timeout=9",
    "Proxy-Connection: keep-alive",
    "TE: trailers",
  );
  expect(echo.headers["x-end"]).toBe("2");
  for (const name of ["x-hop", "keep-alive", "proxy-connection", "te"]) expect(echo.headers).not.toHaveProperty(name);
});

it("what the upstream declares hop-by-hop ends at the gateway, but never the gateway's own headers", async () => {
  const key = await stage.key();
  const answer = await stage.raw("GET /v1/proxy/nominates", [`Authorization: Bearer ${key.secret}`]);
  expect(answer).not.toMatch(/x-internal/i);
  expect(answer).toMatch(/\r\nx-kept: end\r\n/i);
  expect(answer).toMatch(/\r\nx-request-id: req_/i);
  expect(answer).toMatch(/\r\nratelimit: /i);
});
