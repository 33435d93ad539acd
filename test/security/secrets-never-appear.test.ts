/**
 * Weaknesses C5, C7 and H9 in one: a secret in a log, a metric, an error, a list or the database file is a secret that
 * anybody who reads those has. The real gateway, logging at its most talkative, is driven through success and every
 * failure at hand; then everything that it wrote is searched for every secret that was used.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newSecret } from "../../src/core/secret.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { connectMcp } from "../support/mcp-client.ts";
import { exchangeRaw, openRaw } from "../support/raw-sockets.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

const CREDENTIAL = "sk-live-the-real-credential-77";
const UNSENDABLE = "sk-cannot-be-sent-ключ-000000";

let gateway: TestGateway;
let upstream: Upstream;
const logged: string[] = [];
/** All that the gateway answered, apart from the one reply in which a secret is shown. */
const answered: string[] = [];
const secrets = new Map<string, string>([
  ["the credential", CREDENTIAL],
  ["a credential that no header can hold", UNSENDABLE],
]);

beforeAll(async () => {
  const log = pino({ level: "trace" }, { write: (line: string) => void logged.push(line) });
  gateway = await startGateway({ BIFROST_METRICS_ENABLED: "true", BIFROST_METRICS_PUBLIC: "true" }, { log });
  upstream = await startUpstream({
    "/says-it": (_req, res) => {
      res.writeHead(401, `no ${CREDENTIAL}`, { "www-authenticate": `Bearer key="${CREDENTIAL}"` });
      res.end(`bad key ${CREDENTIAL}`);
    },
    "/says-garbage": (_req, res) => void res.socket?.end(`${CREDENTIAL}\r\n\r\n`),
    "/says-bad-header": (_req, res) => void res.socket?.end(`HTTP/1.1 200 OK\r\n${CREDENTIAL} : x\r\n\r\n`),
  });
  secrets.set("the set-up token", gateway.app.setupToken ?? "");
  secrets.set("the owner's API key", gateway.owner.apiKey);
  secrets.set("the owner's session token", gateway.owner.token);
  secrets.set("the master key", readFileSync(join(gateway.dataDir, masterKeyFile()), "utf8").trim());
  await driveManagement();
  await driveProxy();
  await driveMcp();
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

function masterKeyFile(): string {
  const file = readdirSync(gateway.dataDir).find((name) => /key/.test(name));
  if (file === undefined) throw new Error("no master key file beside the database");
  return file;
}

async function manage(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await gateway.call(method, path, { as: gateway.owner.token, body, headers });
  if (answer.status >= 500) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer;
}

/** A key over the API; its secret is remembered, its one reply not searched. */
async function issue(target: string, more: Record<string, unknown> = {}): Promise<{ id: string; secret: string }> {
  const headers = { "idempotency-key": `issue-${secrets.size}` };
  const body = { target, scope: "write", ttl: "1h", rate_limit: 1_000, ...more };
  const first = await manage("POST", "/v1/keys", body, headers);
  if (first.status !== 201) throw new Error(JSON.stringify(first.body));
  // The stored reply of an idempotent request is a place for secrets to lie in.
  await manage("POST", "/v1/keys", body, headers);
  const { id, virtual_key: secret } = first.body as { id: string; virtual_key: string };
  secrets.set(`virtual key ${secrets.size}`, secret);
  return { id, secret };
}

async function driveManagement(): Promise<void> {
  for (const [id, secret] of [
    ["good", CREDENTIAL],
    ["unsendable", UNSENDABLE],
  ]) {
    await manage("POST", "/v1/rootkeys", { id, api_key: secret }, { "idempotency-key": `root-${id}` });
    const body = {
      id: `svc-${id}`,
      endpoint: upstream.origin,
      root_key_id: id,
      credential_header: "Authorization",
      allow_addresses: ["loopback"],
    };
    const made = await manage("POST", "/v1/services", body);
    if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  }
  for (const path of ["/v1/rootkeys", "/v1/services", "/v1/user", "/v1/users"]) {
    answered.push(JSON.stringify((await manage("GET", path)).body));
  }
  for (const body of [{ id: "good", api_key: CREDENTIAL }, { id: "!", api_key: CREDENTIAL }, CREDENTIAL]) {
    answered.push(JSON.stringify((await manage("POST", "/v1/rootkeys", body)).body));
  }
  for (const as of [newTracked("bfu"), newTracked("bft"), `${gateway.owner.apiKey.slice(0, -1)}-`]) {
    answered.push(JSON.stringify((await gateway.call("GET", "/v1/user", { as })).body));
  }
}

function newTracked(kind: "bfu" | "bft" | "bfk"): string {
  const secret = newSecret(kind);
  secrets.set(`a guessed ${kind}`, secret);
  return secret;
}

async function driveProxy(): Promise<void> {
  const send = async (secret: string, line: string, ...headers: string[]) => {
    const head = [
      `${line} HTTP/1.1`,
      "Host: g",
      `Authorization: Bearer ${secret}`,
      ...headers,
      "Connection: close",
      "",
      "",
    ];
    answered.push(await exchangeRaw(gateway.url, head.join("\r\n")));
  };
  const key = await issue("svc-good");
  for (const path of [
    "/x",
    "/says-it",
    "/says-garbage",
    "/says-bad-header",
    "/reset",
    "/short",
    "/huge-header",
    "/..%2f",
    "/two",
  ]) {
    await send(key.secret, `GET /v1/proxy${path}`);
  }
  await send(key.secret, `GET /v1/proxy/x?bifrost_key=${key.secret}`);
  answered.push(
    await exchangeRaw(
      gateway.url,
      `GET /v1/proxy/x?bifrost_key=${key.secret} HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n`,
    ),
  );
  await send(key.secret, `GET /v1/proxy/x`, `X-Request-ID: ${key.secret}`, "Cookie: a=b");
  await send(key.secret, "POST /v1/proxy/x", "Transfer-Encoding: chunked", "Content-Length: 4");
  await send(key.secret, `GET /v1/nothing/${key.secret}`);
  await send(key.secret, "GET /v1/user");
  await send(newTracked("bfk"), "GET /v1/proxy/x");
  await send(`${key.secret.slice(0, -1)}-`, "GET /v1/proxy/x");
  await send((await issue("svc-unsendable")).secret, "GET /v1/proxy/x");
  await send((await issue("svc-good", { scope: "read" })).secret, "POST /v1/proxy/x");
  const once = await issue("svc-good", { one_shot: true });
  await send(once.secret, "GET /v1/proxy/x");
  await send(once.secret, "GET /v1/proxy/x");

  const rotated = await issue("svc-good");
  const next = await manage("POST", `/v1/keys/${rotated.id}/rotate`, {});
  secrets.set("a rotated key", (next.body as { virtual_key: string }).virtual_key);
  await send(rotated.secret, "GET /v1/proxy/x");

  const revoked = await issue("svc-good");
  const arrival = upstream.next();
  const hanging = await openRaw(gateway.url);
  hanging.send(`GET /v1/proxy/hang HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${revoked.secret}\r\n\r\n`);
  await arrival;
  await manage("DELETE", `/v1/keys/${revoked.id}`);
  answered.push(await hanging.until("key.revoked"));
  hanging.socket.destroy();
  await send(revoked.secret, "GET /v1/proxy/x");
  await send(revoked.secret, "GET /v1/proxy/x", "Upgrade: websocket");
}

async function driveMcp(): Promise<void> {
  const client = await connectMcp(`${gateway.url}/mcp`, gateway.owner.apiKey, "2026-07-28");
  const issued = await client.callTool({ name: "request_key", arguments: { service_name: "svc-good" } });
  secrets.set("a key over MCP", (issued.structuredContent as { virtual_key: string }).virtual_key);
  answered.push(JSON.stringify(await client.callTool({ name: "list_my_keys", arguments: {} })));
  await client.close();
  answered.push(JSON.stringify((await gateway.call("POST", "/mcp", { as: newTracked("bfu"), body: {} })).body));
}

/** As it is, and as it would look in a Basic header, in JSON, in a URL or in hexadecimal. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  // Base64 of something longer that contains it: three alignments, without the characters that the neighbours decide.
  const inner = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift, "x"), bytes])
      .toString("base64")
      .replace(/=+$/, "");
    return text.slice(shift === 0 ? 0 : 4, -4);
  });
  return [secret, bytes.toString("hex"), encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1), ...inner];
}

function expectNone(where: string, text: string): void {
  for (const [name, secret] of secrets) {
    for (const form of formsOf(secret)) {
      const at = text.indexOf(form);
      expect(at === -1 ? null : text.slice(Math.max(0, at - 200), at), `${name} is in ${where}, after this`).toBeNull();
    }
  }
}

describe("no secret that was used", () => {
  it("lies in the database, its log or any other file but the master key's", async () => {
    for (const name of readdirSync(gateway.dataDir, { recursive: true, encoding: "utf8" })) {
      if (name === masterKeyFile()) continue;
      expectNone(name, readFileSync(join(gateway.dataDir, name)).toString("latin1"));
    }
  });

  it("was logged, though something was", () => {
    expect(logged.length).toBeGreaterThan(0);
    for (const line of logged) expectNone("a log line", line);
  });

  it("is in an answer other than the one that shows it", () => {
    expect(answered.length).toBeGreaterThan(30);
    for (const answer of answered) expectNone("an answer", answer);
  });

  it("is in the metrics, though the requests are counted", async () => {
    const { body } = await gateway.call("GET", "/metrics", { as: gateway.owner.token });
    expect(body).toContain("svc-good");
    expectNone("the metrics", String(body));
  });

  it("is in the audit trail or in any list", async () => {
    for (const path of [
      "/v1/audit",
      "/v1/keys",
      "/v1/rootkeys",
      "/v1/services",
      "/v1/serviceaccounts",
      "/v1/users",
      "/v1/user",
    ]) {
      const { status, body } = await manage("GET", path);
      expect(status, path).toBe(200);
      expectNone(path, JSON.stringify(body));
    }
  });
});
