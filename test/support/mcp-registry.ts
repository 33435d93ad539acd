import type { DeclaredMcpServer } from "../../src/config/model.ts";
import type { Link, LinkRequest } from "../../src/mcp-links/types.ts";
import { createMcpServers } from "../../src/mcp-servers/registry.ts";
import type { Conversation, McpServer, McpServers } from "../../src/mcp-servers/types.ts";
import { conversation, createFakeUpstream, type FakeUpstream } from "./fake-mcp-upstream.ts";
import { createManualSchedule, type ManualSchedule } from "./manual-schedule.ts";

const QUIET = { info: () => {}, warn: () => {}, debug: () => {} };

/** A registry of one server in front of a scripted one, in time that a test moves. */
export function registryOf(declared: DeclaredMcpServer): {
  servers: McpServers;
  server: McpServer;
  fake: FakeUpstream;
  schedule: ManualSchedule;
  changes: string[];
} {
  const fake = createFakeUpstream();
  const schedule = createManualSchedule();
  const servers = createMcpServers([declared], {
    open: (server, options) => fake.open(server, options),
    clock: schedule.clock,
    schedule,
    random: () => 0,
    log: QUIET,
    metrics: { opened: () => {}, died: () => {} },
    keepaliveMs: 600_000,
    sharedIdleMs: 300_000,
    gatewayInfo: '{"name":"bifrost","version":"0"}',
  });
  const server = servers.find(declared.name);
  if (!server) throw new Error("the registry does not know its own server");
  const changes: string[] = [];
  server.onChange((what) => changes.push(what));
  return { servers, server, fake, schedule, changes };
}

export const TOOL_CALL: LinkRequest = {
  method: "tools/call",
  params: '{"name":"echo"}',
  client: { info: null, capabilities: "{}" },
  signal: undefined,
  headers: {},
  onNotification: () => {},
  onRequest: async () => ({ result: "{}" }),
  passInputRequired: false,
};

/** Leases and calls once, as the gateway does for each request. */
export async function callOnce(server: McpServer, key: string, more: Partial<Conversation> = {}): Promise<Link> {
  const link = await server.lease(conversation(key, more));
  await link.request(TOOL_CALL);
  return link;
}

/** "fulfilled", or the code of the error. */
export async function outcomeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return "fulfilled";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}

export const neverAnswers = (): Promise<never> => new Promise<never>(() => {});
