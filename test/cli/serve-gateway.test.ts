import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createSandbox } from "./support.ts";

const BIN = join(import.meta.dirname, "..", "..", "bin", "bifrost.mjs");
const DOCUMENT = {
  mcpServers: {
    notes: { command: "notes-mcp", args: ["--key", "${NOTES_KEY}"], tools: ["read_*"] },
    web: { url: "https://mcp.example.com/mcp" },
  },
  gateway: { port: 3000, domain: "localhost", agentId: "a-secret-of-the-agent" },
};

describe("bifrost serve --config-stdin", () => {
  let sandbox: ReturnType<typeof createSandbox>;
  beforeEach(() => {
    sandbox = createSandbox();
  });
  afterEach(() => sandbox.remove());

  /** Starts it, waits until all of stdout is there, asks for its health, stops it. */
  async function serveOnce(args: readonly string[], document: unknown) {
    const env = { ...sandbox.env, NOTES_KEY: "k-12345" };
    const child = spawn(process.execPath, [BIN, "serve", "--config-stdin", ...args], { env, cwd: sandbox.dir });
    let stdout = "";
    let stderr = "";
    const listens = new Promise<void>((resolve) => {
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        stderr += text;
        if (stderr.includes("Bifrost listens on")) resolve();
      });
    });
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stdin.end(JSON.stringify(document));
    const exited = once(child, "close");
    await Promise.race([listens, exited]);
    const [, url = ""] = /Bifrost listens on (\S+)/.exec(stderr) ?? [];
    const health = url === "" ? null : await fetch(`${url}/healthz`).then((reply) => reply.status);
    child.kill("SIGTERM");
    const [code] = (await exited) as [number | null];
    return { stdout, stderr, url, health, code };
  }

  it("prints exactly one document for clients on stdout, with an address for each server, and all else on stderr", async () => {
    const { stdout, stderr, url, health, code } = await serveOnce(["--listen", "127.0.0.1:0"], DOCUMENT);
    const port = new URL(url).port;
    expect(stdout.endsWith("\n")).toBe(true);
    expect(JSON.parse(stdout)).toEqual({
      mcpServers: {
        notes: {
          type: "http",
          url: `http://localhost:${port}/mcp/notes`,
          headers: { Authorization: "a-secret-of-the-agent" },
          tools: ["read_*"],
        },
        web: {
          type: "http",
          url: `http://localhost:${port}/mcp/web`,
          headers: { Authorization: "a-secret-of-the-agent" },
        },
      },
    });
    expect(stderr).not.toContain("a-secret-of-the-agent");
    expect({ health, code }).toEqual({ health: 200, code: 0 });
  });

  it("names all servers by one address with --unified, of 127.0.0.1 where it listens on every address", async () => {
    const { domain: _left, ...gateway } = DOCUMENT.gateway;
    const { stdout, url } = await serveOnce(["--unified", "--listen", "0.0.0.0:0"], { ...DOCUMENT, gateway });
    expect(JSON.parse(stdout)).toEqual({
      mcpServers: {
        bifrost: {
          type: "http",
          url: `http://127.0.0.1:${new URL(url).port}/mcp`,
          headers: { Authorization: "a-secret-of-the-agent" },
        },
      },
    });
  });

  it("stops before anything is made or printed when the document is wrong", async () => {
    const wrong = { ...DOCUMENT, guards: { github: {} }, gateway: { agentId: "a-secret-of-the-agent", prot: 1 } };
    const { stdout, stderr, code } = await serveOnce([], wrong);
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr).toContain("gateway.prot: unknown setting");
    expect(stderr).toContain("Did you mean port?");
    expect(stderr).toContain("guards: guards for information flow are not supported");
    expect(stderr).not.toContain("a-secret-of-the-agent");
    expect(existsSync(join(sandbox.dir, "data"))).toBe(false);
  });

  it("refuses --routed with --unified, and an address that is none", async () => {
    expect((await sandbox.run(["serve", "--routed", "--unified"])).code).toBe(2);
    const outcome = await sandbox.run(["serve", "--listen", "nowhere"]);
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr).toContain("0.0.0.0:3333");
  });

  it("takes variables from the file of --env, and shows what would run without their values", async () => {
    const file = join(sandbox.dir, "vars.env");
    writeFileSync(file, "# of the trial\nexport BASE=part\nNOTES_KEY=${BASE}-k\nBIFROST_LOG_LEVEL=warn\n");
    const check = await sandbox.run(["config", "check", "--config-stdin", "--env", file, "--json"], {
      input: JSON.stringify(DOCUMENT),
    });
    expect(check.json).toMatchObject({
      valid: true,
      mcp_agents: 1,
      mcp_servers: [
        { name: "notes", runs: "notes-mcp --key ${NOTES_KEY}", env: [], tools: ["read_*"] },
        { name: "web", url: "https://mcp.example.com", headers: [], auth: "none" },
      ],
    });
    writeFileSync(file, "NOTES_KEY=a\nnot a line");
    const refused = await sandbox.run(["config", "check", "--config-stdin", "--env", file], { input: "{}" });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`${file}:2: not NAME=value`);
  });
});
