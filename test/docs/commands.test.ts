import { readFileSync } from "node:fs";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { loadConfig } from "../../src/config/load.ts";
import type { Upstream } from "../support/upstream.ts";
import { ANSWER, startApiUpstream } from "./api-upstream.ts";
import { type Clone, startClone } from "./clone.ts";
import { codeBlocks } from "./markdown.ts";

const REAL = "sk-the-real-openai-credential-0001";
const blocks = codeBlocks("README.md");

describe("the README, followed from top to bottom on this clone", () => {
  let clone: Clone;
  let upstream: Upstream;
  /** The last secret of each kind that a command printed, by its prefix. */
  const secrets = new Map<string, string>();

  beforeAll(async () => {
    upstream = await startApiUpstream();
    clone = await startClone();
    secrets.set("bfx", clone.setupToken);
  });
  afterAll(async () => {
    await clone.close();
    await upstream.close();
  });

  /** What its reader would type: the secrets that were printed, this gateway's address, and this upstream for the real one. */
  function typed(text: string): string {
    return text
      .replaceAll("http://127.0.0.1:3333", clone.url)
      .replace(/https:\/\/api\.(?:openai|anthropic)\.com(\S*)/g, `${upstream.origin}$1 --allow-address loopback`)
      .replace(/(bf[xkus])_…/g, (placeholder, kind: string) => secrets.get(kind) ?? placeholder);
  }

  async function sh(script: string): Promise<string> {
    const printed = await clone.sh(typed(script), { OPENAI_API_KEY: REAL, ANTHROPIC_API_KEY: REAL });
    for (const [secret, kind = ""] of printed.matchAll(/\b(bf[kus])_[0-9A-Za-z]{39}\b/g)) secrets.set(kind, secret);
    return printed;
  }

  const commands = blocks.filter(({ language, words }) => language === "sh" && words.includes("test"));
  it.each(commands)("line $line: the commands run, and none prints the real credential", async ({ code }) => {
    const printed = await sh(code);
    expect(printed).not.toContain(REAL);
    if (code.includes("curl")) {
      expect(printed).toContain(ANSWER);
      expect(upstream.received.at(-1)).toMatchObject({
        url: "/v1/chat/completions",
        headers: { authorization: `Bearer ${REAL}`, "x-bifrost-key-id": expect.stringMatching(/^vk_/) },
      });
    }
  });

  it.each(blocks.filter(({ language }) => language === "js"))(
    "line $line: the SDK works with nothing but another base URL and key",
    async ({ code, words }) => {
      const service = words.includes("anthropic") ? "anthropic" : "openai";
      if (service === "anthropic") {
        const [add = ""] = /bifrost service add anthropic [^`]+/.exec(readFileSync("README.md", "utf8")) ?? [];
        await sh("bifrost rootkey add anthropic --api-key-env ANTHROPIC_API_KEY");
        await sh(add.replaceAll("\n", " "));
      }
      await sh(`bifrost key issue --service ${service} --scope write`);
      expect((await clone.js(typed(code))).trim()).toBe(ANSWER);
      const { headers } = upstream.received.at(-1) ?? {};
      expect(headers).toMatchObject(
        service === "anthropic" ? { "x-api-key": REAL } : { authorization: `Bearer ${REAL}` },
      );
      expect(JSON.stringify(headers)).not.toContain("bfk_");
    },
  );

  it("the MCP client configuration reaches the four tools that it promises", async () => {
    const block = blocks.find(({ words }) => words.includes("mcp"));
    const { mcpServers } = z
      .object({
        mcpServers: z.object({ bifrost: z.object({ url: z.string(), headers: z.record(z.string(), z.string()) }) }),
      })
      .parse(JSON.parse(typed(block?.code ?? "")));
    const { url, headers } = mcpServers.bifrost;
    const client = new Client({ name: "reader", version: "1" });
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
    const { tools } = await client.listTools();
    expect(tools.map((tool) => tool.name).sort()).toEqual([
      "list_my_keys",
      "list_services",
      "request_key",
      "revoke_key",
    ]);
    const issued = await client.callTool({ name: "request_key", arguments: { service_name: "openai" } });
    expect(issued.structuredContent).toMatchObject({
      scope: "read",
      rate_limit: 60,
      agent_id: headers["X-Agent-ID"],
    });
    await client.close();
  });

  it("the configuration file is accepted", () => {
    const file = blocks.find(({ language, words }) => language === "toml" && words.includes("test"));
    const config = loadConfig({
      file: "bifrost.toml",
      env: { OPENAI_API_KEY: REAL },
      readFile: () => file?.code ?? "",
    });
    expect(config.services).toMatchObject([{ id: "openai", origin: "https://api.openai.com", basePath: "/v1" }]);
  });

  it("the MCP servers of README and docs/mcp.md are accepted, each as the kind that it is shown as", () => {
    const kindsOf = (file: string, word: string) => {
      const block = codeBlocks(file).find(({ words }) => words.includes(word));
      const env = { SEARCH_TOKEN: "s", SEARCH_KEY: "s", CRM_CLIENT_SECRET: "s", GITHUB_PERSONAL_ACCESS_TOKEN: "s" };
      const config = loadConfig({ file: "bifrost.toml", env, readFile: () => block?.code ?? "" });
      return config.mcpServers.map(({ name, transport }) => {
        if (transport.kind === "http") return `${name}: ${transport.auth.kind}`;
        return `${name}: ${transport.container ? "container" : "process"}`;
      });
    };
    expect(kindsOf("README.md", "servers")).toEqual(["files: process", "search: none"]);
    expect(kindsOf("docs/mcp.md", "config")).toEqual([
      "files: process",
      "github: container",
      "search: none",
      "tracker: credential",
      "crm: oauth",
    ]);
  });

  it("the verifier of docs/identity-assertion.md accepts the request that was sent, and no other", async () => {
    await sh("bifrost service update openai --identity-assertion");
    await sh("bifrost key issue --service openai --scope write --agent auditor");
    await sh('curl -sS "http://127.0.0.1:3333/v1/proxy/models?limit=1" -H "X-Virtual-Key: bfk_…"');
    const { method, url, headers } = upstream.received.at(-1) ?? {};
    const [snippet] = codeBlocks("docs/identity-assertion.md").filter(({ language }) => language === "js");
    const verify = (request: object) => {
      const expected = { issuer: "bifrost", audience: upstream.origin };
      const call = `callerOf(${JSON.stringify(request)}, ${JSON.stringify(expected)})`;
      return clone.js(typed(`${snippet?.code}\nconsole.log(JSON.stringify(await ${call}));`));
    };
    expect(JSON.parse(await verify({ method, url, headers }))).toEqual({
      org: "default",
      key: headers?.["x-bifrost-key-id"],
      agent: "auditor",
    });
    await expect(verify({ method: "DELETE", url, headers })).rejects.toThrow("not for this request");
    const forged = { ...headers, "x-bifrost-identity": String(headers?.["x-bifrost-identity"]).slice(0, -8) };
    await expect(verify({ method, url, headers: forged })).rejects.toThrow("signature");
  });
});
