import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { loadConfig } from "../../src/config/load.ts";
import { newMasterKey } from "../../src/vault/keyring.ts";

/** A tag that names a release: `latest`, no tag and a bare variant such as `slim` do not. */
const PINNED = /^[a-z0-9./-]+:\d[\w.-]*$/;

describe("the Dockerfile", () => {
  const text = readFileSync("Dockerfile", "utf8").replaceAll("\\\n", " ");
  const lines = text.split("\n").filter((line) => /^[A-Z]+ /.test(line));
  const stages = lines.map((line, at) => (line.startsWith("FROM ") ? at : -1)).filter((at) => at !== -1);
  const runtime = lines.slice(stages.at(-1));
  const of = (part: readonly string[], instruction: string) =>
    part.filter((line) => line.startsWith(`${instruction} `)).map((line) => line.slice(instruction.length + 1).trim());

  it("builds on the Node version that scripts/node-runtime pins, in every stage", () => {
    const { version } = z.object({ version: z.string() }).parse(readJson("scripts/node-runtime/package.json"));
    expect(of(lines, "FROM").map((from) => from.split(" ")[0])).toEqual(stages.map(() => `node:${version}-slim`));
  });

  it("runs no install script", () => {
    for (const run of of(lines, "RUN")) {
      for (const npm of run.match(/npm (?:ci|install|prune)[^&|;]*/g) ?? []) expect(npm).toContain("--ignore-scripts");
    }
  });

  it("runs as a user that is not root, and nothing runs as root after that", () => {
    const users = of(runtime, "USER");
    expect(users).toEqual(["node"]);
    const after = runtime.slice(runtime.findIndex((line) => line.startsWith("USER ")) + 1);
    expect(of(after, "RUN")).toEqual([]);
  });

  it("has a health check, a volume for its data, and starts without a shell", () => {
    expect(of(runtime, "HEALTHCHECK").join()).toContain("/healthz");
    expect(of(runtime, "VOLUME")).toEqual(["/data"]);
    expect(of(runtime, "ENTRYPOINT")).toEqual(['["node", "bin/bifrost.mjs"]']);
    expect(of(runtime, "CMD")).toEqual(['["serve"]']);
  });

  it("installs every package that the program imports: none is a development dependency", () => {
    const { dependencies } = z
      .object({ dependencies: z.record(z.string(), z.string()) })
      .parse(readJson("package.json"));
    const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((f) => /(?<!\.test)\.ts$/.test(f));
    for (const file of files) {
      const source = readFileSync(join("src", file), "utf8");
      for (const [, specifier = ""] of source.matchAll(/\b(?:from|import)[ (]"([^."][^"]*)"/g)) {
        const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
        if (specifier.startsWith("node:") || builtinModules.includes(name)) continue;
        expect(Object.keys(dependencies), `${specifier} in ${file}`).toContain(name);
      }
    }
  });

  it("copies only what exists and .dockerignore lets through, and no secret", () => {
    const allowed = readFileSync(".dockerignore", "utf8").split("\n");
    expect(allowed.find((line) => line !== "" && !line.startsWith("#"))).toBe("*");
    const sources = of(lines, "COPY")
      .filter((copy) => !copy.includes("--from="))
      .flatMap((copy) => copy.split(/\s+/).slice(0, -1));
    for (const source of sources) {
      expect(existsSync(source.replace(/^\.\//, "")), source).toBe(true);
      expect(allowed).toContain(`!${source}`);
    }
    expect(text).not.toMatch(/^(ARG|ENV) .*(KEY|TOKEN|PASSWORD|SECRET)/m);
  });
});

const ComposeService = z.looseObject({
  image: z.string(),
  build: z.string().optional(),
  restart: z.string(),
  ports: z.array(z.string()).default([]),
  environment: z.record(z.string(), z.string()).default({}),
  networks: z.array(z.string()),
  healthcheck: z.unknown().optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  privileged: z.never().optional(),
});

describe("compose.yaml", () => {
  const compose = z
    .object({
      services: z.record(z.string(), ComposeService),
      networks: z.record(z.string(), z.looseObject({ internal: z.boolean().optional() })),
      volumes: z.record(z.string(), z.unknown()),
    })
    .loose()
    .parse(parse(readFileSync("compose.yaml", "utf8")));
  const services = Object.entries(compose.services);

  it("is a gateway, a PostgreSQL and a Redis-compatible server", () => {
    expect(Object.keys(compose.services).sort()).toEqual(["bifrost", "postgres", "valkey"]);
  });

  it.each(services)("%s has a pinned image, a restart policy and a health check", (_name, service) => {
    expect(service.image).toMatch(PINNED);
    expect(service.restart).toBe("unless-stopped");
    // The gateway's own is in the Dockerfile.
    expect(service.build !== undefined || service.healthcheck !== undefined).toBe(true);
  });

  it("publishes the gateway, on this machine only, and nothing else", () => {
    for (const [name, { ports }] of services) {
      expect(ports, name).toEqual(name === "bifrost" ? ["127.0.0.1:3333:3333"] : []);
    }
  });

  it("keeps the stores on a network without a way out", () => {
    expect(compose.networks["inside"]?.internal).toBe(true);
    expect(compose.services["postgres"]?.networks).toEqual(["inside"]);
    expect(compose.services["valkey"]?.networks).toEqual(["inside"]);
  });

  it("starts the gateway when its stores are healthy", () => {
    expect(compose.services["bifrost"]?.depends_on).toEqual({
      postgres: { condition: "service_healthy" },
      valkey: { condition: "service_healthy" },
    });
  });

  it("gives the gateway settings that it accepts", () => {
    const secret = newMasterKey();
    const environment = Object.entries(compose.services["bifrost"]?.environment ?? {});
    const env = Object.fromEntries(environment.map(([name, value]) => [name, value.replace(/\$\{[^}]+\}/g, secret)]));
    const config = loadConfig({
      env: { ...env, BIFROST_HOST: "0.0.0.0", BIFROST_DATA_DIR: "/data" },
      readFile: (path) => readFileSync(path, "utf8"),
    });
    expect(config).toMatchObject({ database: { dialect: "postgres" }, redisUrl: "redis://valkey:6379" });
  });

  it("holds no secret: each comes from .env and is required, and .env is never committed", () => {
    for (const [name, { environment }] of services) {
      for (const [variable, value] of Object.entries(environment)) {
        if (/KEY|PASSWORD|TOKEN|SECRET|DATABASE_URL/.test(variable)) {
          expect(value, `${name}.${variable}`).toMatch(/\$\{[A-Z_]+:\?[^}]+\}/);
        }
      }
    }
    expect(readFileSync(".gitignore", "utf8").split("\n")).toContain(".env");
  });
});

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}
