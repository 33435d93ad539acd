// Every combination of who a request says it is, at the front door of the whole gateway, with a real MCP server behind it.
// What is to come out is computed by an oracle that knows DESIGN §3 and nothing of the code. All forms of the single headers
// are in identity-matrix.test.ts.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GatewayConfig } from "../../src/config/model.ts";
import { newSecret } from "../../src/core/secret.ts";
import { type FaultyUpstream, startFaulty } from "../support/faulty-upstream.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { addUser } from "../support/management.ts";
import { askRaw, beginSession, comparable, madeUp, openRaw, request2025 } from "../support/raw-mcp.ts";
import { declareServer } from "./fixtures/declare.ts";

const AGENT = "the value of the configured agent";
const SETTINGS: Record<string, Partial<GatewayConfig>> = {
  "keys and agents": { auth: "keys", agents: [{ secret: AGENT, servers: null }] },
  keys: { auth: "keys", agents: [] },
  none: { auth: "none", agents: [] },
};
type Setting = keyof typeof SETTINGS;

/** Principals of the tests. `other` holds sessions that are nobody else's. */
type Who = "user" | "account" | "key" | "agent" | "local" | "other";
type Secrets = Record<"user" | "account" | "key" | "other" | "unknown", string>;

/** What `Authorization` says, and which secret or value it stands for. */
const AUTHORIZATIONS: readonly [string, (secrets: Secrets) => string | undefined, Meant][] = [
  ["none", () => undefined, "nothing"],
  ["an agent's value, bare", () => AGENT, "agent"],
  ["an agent's value, Bearer", () => `Bearer ${AGENT}`, "agent"],
  ["an agent's value, Agent", () => `Agent ${AGENT}`, "agent"],
  ["a wrong value, bare", () => "wrong", "no secret of ours"],
  ["a wrong value, Bearer", () => "Bearer wrong", "no secret of ours"],
  ["malformed", () => "Bearer", "nothing"],
  ["an unknown key", ({ unknown }) => `Bearer ${unknown}`, "an unknown secret of ours"],
  ["a user's key", ({ user }) => `Bearer ${user}`, "user"],
  ["a service account's key", ({ account }) => `Bearer ${account}`, "account"],
  ["a virtual key", ({ key }) => `Bearer ${key}`, "key"],
];
type Meant = Exclude<Who, "other" | "local"> | "nothing" | "no secret of ours" | "an unknown secret of ours";

const AGENT_IDS: readonly [string, string | undefined, "none" | "coder" | "tester" | "bad"][] = [
  ["none", undefined, "none"],
  ["valid", "coder", "coder"],
  ["another valid", "tester", "tester"],
  ["malformed", "../coder", "bad"],
  // Two headers, as Node hands them over.
  ["two", "coder, tester", "bad"],
];

const SESSIONS = ["none", "own", "another principal's", "another agent's", "another path's", "unknown"] as const;
const MODES = { unified: "/mcp", routed: "/mcp/faulty" } as const;

/** DESIGN §3: rule 6 and 8 say who it is, rule 3 what an agent id may be, rule 2 whose session it is. */
function oracle(setting: Setting, meant: Meant, agentId: "ok" | "bad", session: (typeof SESSIONS)[number]): number {
  if (whoIs(setting, meant) === null) return 401;
  if (agentId === "bad") return 400;
  return session === "none" || session === "own" ? 200 : 404;
}

function whoIs(setting: Setting, meant: Meant): Who | null {
  if (meant === "user" || meant === "account" || meant === "key") return meant;
  if (meant === "agent" && setting === "keys and agents") return "agent";
  if (meant === "an unknown secret of ours") return null;
  return setting === "none" ? "local" : null;
}

let upstream: FaultyUpstream;
beforeAll(async () => {
  upstream = await startFaulty("http");
});
afterAll(() => upstream.close());

describe.each(Object.keys(SETTINGS))("with gateway.auth = %s", (setting) => {
  let gateway: TestGateway;
  let secrets: Secrets;
  const sessions = new Map<string, string>();
  const sessionOf = (who: Who, agent: string, mode: string) => sessions.get(`${who} ${agent} ${mode}`) ?? "";

  beforeAll(async () => {
    gateway = await startGateway({}, {}, (config) => ({
      ...config,
      limits: { ...config.limits, authFailuresPerMinute: 1_000_000 },
      gateway: { ...config.gateway, ...SETTINGS[setting] },
      mcpServers: [declareServer("faulty", upstream.transport)],
    }));
    const as = gateway.owner.token;
    const make = async (path: string, body: object) => (await gateway.call("POST", path, { as, body })).body;
    const account = await make("/v1/serviceaccounts", { name: "CI", allowed_services: ["*"], max_scope: "write" });
    const key = await make("/v1/keys", { grants: [{ mcp_server: "faulty" }], scope: "write", rate_limit: 1_000 });
    secrets = {
      user: (await addUser(gateway.call, as, "member")).apiKey,
      account: account.api_key,
      key: key.virtual_key,
      other: gateway.owner.apiKey,
      unknown: newSecret("bfu"),
    };
    const own: Record<Who, string | undefined> = {
      user: `Bearer ${secrets.user}`,
      account: `Bearer ${secrets.account}`,
      key: `Bearer ${secrets.key}`,
      other: `Bearer ${secrets.other}`,
      agent: setting === "keys and agents" ? AGENT : undefined,
      local: undefined,
    };
    const has: Who[] = ["user", "account", "key", "other"];
    if (setting === "keys and agents") has.push("agent");
    if (setting === "none") has.push("local");
    for (const who of has) {
      for (const agent of ["none", "coder", "tester"]) {
        for (const [mode, path] of Object.entries(MODES)) {
          const headers = { authorization: own[who], ...(agent === "none" ? {} : { "x-agent-id": agent }) };
          sessions.set(`${who} ${agent} ${mode}`, await beginSession(gateway.url, path, headers));
        }
      }
    }
  });
  afterAll(() => gateway.close());

  /** The id that this row presents. Where nobody is who asks, or which agent, it is a good one of somebody. */
  function sessionFor(row: Row): string | undefined {
    const who = whoIs(setting, row.meant) ?? "other";
    const agent = row.agent === "bad" ? "coder" : row.agent;
    switch (row.session) {
      case "none":
        return undefined;
      case "own":
        return sessionOf(who, agent, row.mode);
      case "another principal's":
        return sessionOf(who === "other" ? "user" : "other", agent, row.mode);
      case "another agent's":
        return sessionOf(who, agent === "coder" ? "tester" : "coder", row.mode);
      case "another path's":
        return sessionOf(who, agent, row.mode === "routed" ? "unified" : "routed");
      case "unknown":
        return madeUp(`${row.authorization} ${row.agentHeader} ${row.mode}`);
    }
  }

  it(
    "a request is served, or refused, as its identity says, whatever else it presents",
    { timeout: 120_000 },
    async () => {
      const wrong: unknown[] = [];
      const refusals = new Map<number, Set<string>>();
      await inParallel(rows(), async (row) => {
        const headers = {
          authorization: row.value(secrets),
          "x-agent-id": row.agentId,
          "mcp-session-id": sessionFor(row),
        };
        const expected = oracle(setting, row.meant, row.agent === "bad" ? "bad" : "ok", row.session);
        const path = MODES[row.mode];
        const post = await askRaw(gateway.url, "POST", path, { headers, body: request2025(1, "tools/list") });
        const found: [string, number][] = [["POST", post.status]];
        if (
          post.status === 200 &&
          !namesOf(post.body.result.tools).includes(row.mode === "routed" ? "echo" : "faulty___echo")
        )
          wrong.push(["tools", described(row)]);
        if (row.session !== "none") {
          const get = await openRaw(gateway.url, "GET", path, { headers });
          found.push(["GET", get.status]);
          await get.body?.cancel();
          // Ending what is not one's own would show in every other row.
          if (expected !== 200) found.push(["DELETE", (await askRaw(gateway.url, "DELETE", path, { headers })).status]);
        }
        for (const [method, status] of found)
          if (status !== expected) wrong.push([method, status, expected, described(row)]);
        if (expected === 404) note(refusals, expected, comparable(post));
        if (expected === 400) note(refusals, expected, comparable(post));
      });
      expect(wrong).toEqual([]);
      // Whose a session is makes no difference to whoever it does not belong to, and a refused agent id is not repeated.
      for (const [status, seen] of refusals) expect([status, ...seen]).toHaveLength(2);
    },
  );
});

interface Row {
  readonly authorization: string;
  readonly value: (secrets: Secrets) => string | undefined;
  readonly meant: Meant;
  readonly agentHeader: string;
  readonly agentId: string | undefined;
  readonly agent: "none" | "coder" | "tester" | "bad";
  readonly session: (typeof SESSIONS)[number];
  readonly mode: keyof typeof MODES;
}

function rows(): Row[] {
  return AUTHORIZATIONS.flatMap(([authorization, value, meant]) =>
    AGENT_IDS.flatMap(([agentHeader, agentId, agent]) =>
      SESSIONS.flatMap((session) =>
        (["unified", "routed"] as const).map((mode) => ({
          authorization,
          value,
          meant,
          agentHeader,
          agentId,
          agent,
          session,
          mode,
        })),
      ),
    ),
  );
}

const described = (row: Row) => [row.authorization, row.agentHeader, row.session, row.mode].join(", ");

async function inParallel<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const waiting = items.values();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const item of waiting) await run(item);
    }),
  );
}

const namesOf = (tools: readonly { name: string }[]) => tools.map(({ name }) => name);

function note(map: Map<number, Set<string>>, status: number, text: string): void {
  map.set(status, (map.get(status) ?? new Set()).add(text));
}
