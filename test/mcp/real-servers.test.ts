import { createRequire } from "node:module";
import { mkdtempDisposable, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { McpTransport } from "../../src/config/model.ts";
import { type TestGateway, startGateway } from "../support/gateway.ts";
import { CLIENTS, type ClientKind, connectOfficial } from "../support/official-clients.ts";
import { declareServer, nodeProcess } from "./fixtures/declare.ts";

const require = createRequire(import.meta.url);

/** A server from npm, as a user would declare it. */
function published(name: string, args: readonly string[], env: Record<string, string> = {}): McpTransport {
  const script = require.resolve(`@modelcontextprotocol/${name}/dist/index.js`);
  return { ...nodeProcess(script, ...args), env } as McpTransport;
}

let gateway: TestGateway;
let folder: string;
const ends = new AsyncDisposableStack();

beforeAll(async () => {
  folder = ends.use(await mkdtempDisposable(join(tmpdir(), "bifrost-real-"))).path;
  await writeFile(join(folder, "note.txt"), "a note\n");
  const mcpServers = [
    declareServer("everything", published("server-everything", [])),
    declareServer("filesystem", published("server-filesystem", [folder])),
    declareServer("rooted", published("server-filesystem", [])),
    declareServer("memory", published("server-memory", [], { MEMORY_FILE_PATH: join(folder, "memory.jsonl") })),
  ];
  gateway = await startGateway({}, {}, (config) => ({ ...config, mcpServers }));
  ends.defer(() => gateway.close());
});

afterAll(() => ends.disposeAsync());

const connect = (kind: ClientKind, path: string, roots: readonly string[] = []) =>
  connectOfficial(kind, {
    url: `${gateway.url}/mcp/${path}`,
    headers: { authorization: `Bearer ${gateway.owner.apiKey}` },
    roots,
  });

const text = ({ content }: { content?: unknown }) => JSON.stringify(content);

describe.each(CLIENTS)("through the gateway, the official client %s", (kind) => {
  it("uses server-everything: tools, structured results, progress, sampling, elicitation, resources, prompts", async () => {
    await using client = await connect(kind, "everything", ["file:///work/one"]);
    expect(client.instructions()).toBeTruthy();
    expect(await client.toolNames()).toEqual(expect.arrayContaining(["echo", "get-sum", "trigger-sampling-request"]));
    expect(text(await client.call("echo", { message: "hello" }))).toContain("Echo: hello");
    const { structuredContent } = await client.call("get-structured-content", { location: "Chicago" });
    expect(structuredContent).toEqual({ temperature: 36, conditions: "Light rain / drizzle", humidity: 82 });
    const seen: number[] = [];
    const long = { duration: 0.2, steps: 4 };
    await client.call("trigger-long-running-operation", long, { onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([1, 2, 3, 4]);
    const sampled = await client.call("trigger-sampling-request", { prompt: "How many?", maxTokens: 10 });
    expect(text(sampled)).toContain("Forty-two.");
    expect(text(await client.call("trigger-elicitation-request"))).toContain("Ada");
    expect(text(await client.call("get-roots-list"))).toContain("file:///work/one");
    expect(client.asked).toEqual(
      expect.arrayContaining(["sampling/createMessage", "elicitation/create", "roots/list"]),
    );
    const uris = await client.resourceUris();
    expect(uris.length).toBeGreaterThan(0);
    expect(await client.read(uris[0] ?? "")).toMatchObject([{ uri: uris[0] }]);
    expect(await client.read("demo://resource/dynamic/text/7")).toHaveLength(1);
    expect(await client.promptNames()).toContain("args-prompt");
    expect(await client.prompt("args-prompt", { city: "Zürich" })).toHaveLength(1);
  });

  it("hears from server-everything that a resource changed, and that there is one more", async () => {
    await using client = await connect(kind, "everything");
    const uri = "demo://resource/dynamic/text/1";
    await client.watch(uri);
    const name = `of-${CLIENTS.indexOf(kind)}.gz`;
    const made = { name, data: "data:text/plain,hello", outputType: "resourceLink" };
    expect((await client.call("gzip-file-as-resource", made)).isError).not.toBe(true);
    await client.hears("notifications/resources/list_changed");
    expect((await client.resourceUris()).filter((each) => each.endsWith(name))).toHaveLength(1);
    await client.call("toggle-subscriber-updates");
    await client.hears("notifications/resources/updated");
    await client.call("toggle-subscriber-updates");
  });

  it("uses server-filesystem inside the folder that its declaration names, and nowhere else", async () => {
    await using client = await connect(kind, "filesystem");
    expect(text(await client.call("read_text_file", { path: join(folder, "note.txt") }))).toContain("a note");
    expect((await client.call("read_text_file", { path: "/etc/hostname" })).isError).toBe(true);
  });

  it("gives server-filesystem its roots", async () => {
    await using client = await connect(kind, "rooted", [pathToFileURL(folder).href]);
    // The server asks for them by itself, after it has begun to serve.
    let listed = text(await client.call("list_allowed_directories"));
    while (!listed.includes(folder)) listed = text(await client.call("list_allowed_directories"));
    expect(text(await client.call("read_text_file", { path: join(folder, "note.txt") }))).toContain("a note");
  });

  it("writes to server-memory and reads it back, structured", async () => {
    await using client = await connect(kind, "memory");
    const entity = { name: `entity of ${kind}`, entityType: "test", observations: ["one", "zwei"] };
    await client.call("create_entities", { entities: [entity] });
    const { structuredContent } = await client.call("open_nodes", { names: [entity.name] });
    expect(structuredContent).toMatchObject({ entities: [entity] });
  });
});
