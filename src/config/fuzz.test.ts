import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { load, type Given } from "../../test/support/load-config.ts";
import { ConfigError } from "./load.ts";

const SECRET = "s3cr3t-Value.9f8e7d";
/** One of everything, with a secret wherever one may stand: written out, and from a variable. */
const DOCUMENT = {
  mcpServers: {
    direct: {
      type: "stdio",
      command: "npx",
      args: ["--token", SECRET, "${TOKEN}"],
      env: { KEY: SECRET, FROM: "${TOKEN}", OWN: "" },
      cwd: "/tmp",
      tools: ["read_*"],
      toolTimeout: 30,
      toolTimeouts: { slow: 60 },
      toolCallLimits: { read: 3 },
      toolResponseFilters: { read: ".a" },
    },
    image: {
      container: "a/b:1",
      args: ["-e", "X=${TOKEN}"],
      entrypointArgs: [SECRET],
      mounts: ["/tmp/a:/a:ro"],
      env: { K: SECRET },
    },
    docker: { command: "docker", args: ["run", "-i", "-e", "X=${TOKEN}", "a/b"] },
    web: {
      url: `https://a.b/${SECRET}?k=${SECRET}`,
      headers: { "X-Key": "${TOKEN}", Authorization: `Bearer ${SECRET}` },
    },
    oauth: {
      url: "https://a.b",
      auth: { type: "oauth", tokenUrl: "https://t.b", clientId: SECRET, clientSecret: "${TOKEN}", scopes: ["a"] },
    },
  },
  gateway: {
    port: 3000,
    domain: "localhost",
    agentIds: [SECRET, "${OTHER}"],
    agentPolicies: { [SECRET]: { servers: ["direct"], tools: { direct: ["read_*"] } }, "${OTHER}": { servers: [] } },
    toolTimeout: 30,
    opentelemetry: { endpoint: "http://127.0.0.1:4318", headers: { authorization: SECRET } },
  },
  customSchemas: { special: "https://a.b/schema.json" },
};
const ENV = { TOKEN: `${SECRET}-token`, OTHER: `${SECRET}-other` };

type Path = readonly (string | number)[];

function pathsOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const entries = Array.isArray(value) ? value.map((item, i) => [i, item] as const) : Object.entries(value);
  return [path, ...entries.flatMap(([key, item]) => pathsOf(item, [...path, key]))];
}

/** A copy with one place changed; undefined takes it out. */
function withChange(document: unknown, path: Path, value: unknown): unknown {
  const [head, ...rest] = path;
  if (head === undefined) return value;
  if (typeof document !== "object" || document === null) return document;
  const copy: Record<string | number, unknown> = Array.isArray(document)
    ? (Object.assign([], document) as unknown as Record<number, unknown>)
    : { ...document };
  copy[head] = withChange(copy[head], rest, value);
  if (copy[head] === undefined && rest.length === 0) delete copy[head];
  return copy;
}

/** The text of the refusal, or null when it loads. @throws whatever is no ConfigError */
function refusalOf(given: Given): string | null {
  try {
    load(given);
    return null;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.problems.length).toBeGreaterThan(0);
    return error.message + JSON.stringify(error.problems);
  }
}

const anyValue = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(
    undefined,
    SECRET,
    `--${SECRET}`,
    "${TOKEN}",
    "${NOT_SET}",
    "${",
    [SECRET],
    [[SECRET]],
    { env: "NO" },
    { file: SECRET },
    -1,
    1e21,
    true,
  ),
  fc.constantFrom<unknown>(
    { a: SECRET },
    { [`k-${"x".repeat(80)}`]: SECRET },
    { type: SECRET },
    [`-v${SECRET}:/x`],
    [`--${SECRET}=1`, "x"],
  ),
);
const changes = fc.array(fc.tuple(fc.constantFrom(...pathsOf(DOCUMENT)), anyValue), { minLength: 1, maxLength: 4 });

describe("any configuration of MCP servers", () => {
  it("loads as it is", () => {
    expect(refusalOf({ stdin: JSON.stringify(DOCUMENT), env: ENV })).toBeNull();
    expect(refusalOf({ file: JSON.stringify(DOCUMENT), env: ENV })).toBeNull();
  });

  it("loads or is refused in words that hold no secret, however it is changed", () => {
    fc.assert(
      fc.property(changes, fc.boolean(), (all, asFile) => {
        let document: unknown = DOCUMENT;
        for (const [path, value] of all) document = withChange(document, path, value);
        const text = JSON.stringify(document) ?? "null";
        const refusal = refusalOf(asFile ? { file: text, env: ENV } : { stdin: text, env: ENV });
        if (refusal !== null) expect(refusal).not.toContain(SECRET);
      }),
      { numRuns: 1_500 },
    );
  });

  it("loads or is refused, as text cut off or joined at any place", () => {
    // A cut can make a policy's key the name of a server, which problems do tell; so here it is in a variable only.
    const text = JSON.stringify(DOCUMENT)
      .replaceAll(`"${SECRET}":`, '"${TOKEN}":')
      .replace(`["${SECRET}",`, '["${TOKEN}",');
    fc.assert(
      fc.property(
        fc.nat(text.length),
        fc.nat(text.length),
        fc.string({ unit: "binary", maxLength: 20 }),
        (from, to, between) => {
          const refusal = refusalOf({ stdin: text.slice(0, from) + between + text.slice(to), env: ENV });
          if (refusal !== null) expect(refusal).not.toContain(SECRET);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("is refused when it is nested without end", () => {
    for (const text of [`${"[".repeat(200_000)}`, `{"mcpServers":${'{"a":'.repeat(50_000)}1${"}".repeat(50_001)}`]) {
      expect(refusalOf({ stdin: text })).not.toBeNull();
      expect(refusalOf({ file: text })).not.toBeNull();
    }
  });
});
