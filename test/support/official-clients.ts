import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from "@modelcontextprotocol/client";
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as TransportV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  PromptListChangedNotificationSchema,
  ResourceListChangedNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { ERAS } from "./mcp-client.ts";

/** An official client with its revision. `v1` has no other than those of 2025. */
export const CLIENTS = ["v2, 2025-11-25", "v2, 2026-07-28", "v1, 2025-11-25"] as const;

export type ClientKind = (typeof CLIENTS)[number];

interface CallResult {
  readonly content?: unknown;
  readonly structuredContent?: unknown;
  readonly isError?: boolean | undefined;
}

/** What the tests need of a client, the same for both SDKs and eras. */
export interface OfficialClient {
  /** Methods that the server asked of this client, and what it was told, in order: `sampling/createMessage`, … */
  readonly asked: readonly string[];
  readonly heard: readonly string[];
  /** Resolves when `method` has been heard `times` times. */
  hears(method: string, times?: number): Promise<void>;
  toolNames(): Promise<string[]>;
  listTools(): Promise<readonly { name: string; title?: string | undefined; outputSchema?: unknown }[]>;
  call(name: string, given?: Record<string, unknown>, options?: CallOptions): Promise<CallResult>;
  resourceUris(): Promise<string[]>;
  read(uri: string): Promise<readonly { uri: string }[]>;
  promptNames(): Promise<string[]>;
  prompt(name: string, given?: Record<string, string>): Promise<readonly unknown[]>;
  complete(prompt: string, name: string, value: string): Promise<string[]>;
  /** Resolves when the server has agreed to tell of changes of this resource and of the lists. */
  watch(uri: string): Promise<void>;
  instructions(): string | undefined;
  setRoots(roots: readonly string[]): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface CallOptions {
  readonly onProgress?: (progress: number) => void;
  readonly signal?: AbortSignal;
}

export interface Connection {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly roots?: readonly string[];
}

const INFO = { name: "bifrost-test", version: "1.0.0" };
const CAPABILITIES = { sampling: {}, elicitation: {}, roots: { listChanged: true } };
const EVERY_LIST = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };
const SAMPLED = {
  role: "assistant" as const,
  content: { type: "text" as const, text: "Forty-two." },
  model: "test-model",
  stopReason: "endTurn",
};
const ELICITED = { action: "accept" as const, content: { name: "Ada", color: "red", ok: true, context: "tests" } };

/** Connects; answers sampling, elicitation and roots by itself. */
export function connectOfficial(kind: ClientKind, connection: Connection): Promise<OfficialClient> {
  if (kind === "v1, 2025-11-25") return connectV1(connection);
  return connectV2(connection, kind === "v2, 2025-11-25" ? "2025-11-25" : "2026-07-28");
}

/** What was said to a client, and who waits for it. */
function createEars() {
  const asked: string[] = [];
  const heard: string[] = [];
  const waiting = new Set<() => void>();
  const count = (method: string) => heard.filter((each) => each === method).length;
  return {
    asked,
    heard,
    ask: (method: string) => void asked.push(method),
    hear(method: string) {
      heard.push(method);
      for (const look of waiting) look();
    },
    hears: (method: string, times = 1) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (count(method) < times) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

const rootsOf = (roots: readonly string[]) => ({ roots: roots.map((uri) => ({ uri, name: "root" })) });

async function connectV2({ url, headers, roots = [] }: Connection, era: "2025-11-25" | "2026-07-28") {
  const ears = createEars();
  let ownRoots = roots;
  const client = new ClientV2(INFO, { versionNegotiation: ERAS[era], capabilities: CAPABILITIES });
  client.setRequestHandler("sampling/createMessage", () => {
    ears.ask("sampling/createMessage");
    return SAMPLED;
  });
  client.setRequestHandler("elicitation/create", () => {
    ears.ask("elicitation/create");
    return ELICITED;
  });
  client.setRequestHandler("roots/list", () => {
    ears.ask("roots/list");
    return rootsOf(ownRoots);
  });
  for (const method of [
    "notifications/message",
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
  ] as const)
    client.setNotificationHandler(method, () => ears.hear(method));
  await client.connect(new TransportV2(new URL(url), { requestInit: { headers } }));

  const connected: OfficialClient = {
    ...ears,
    listTools: async () => (await client.listTools()).tools,
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, given = {}, { onProgress, signal } = {}) =>
      client.callTool(
        { name, arguments: given },
        { ...(onProgress && { onprogress: ({ progress }) => onProgress(progress) }), ...(signal && { signal }) },
      ),
    resourceUris: async () => (await client.listResources()).resources.map(({ uri }) => uri),
    read: async (uri) => (await client.readResource({ uri })).contents,
    promptNames: async () => (await client.listPrompts()).prompts.map(({ name }) => name),
    prompt: async (name, given = {}) => (await client.getPrompt({ name, arguments: given })).messages,
    complete: async (prompt, name, value) => {
      const ref = { type: "ref/prompt" as const, name: prompt };
      return (await client.complete({ ref, argument: { name, value } })).completion.values;
    },
    async watch(uri) {
      if (era === "2025-11-25") await client.subscribeResource({ uri });
      else await client.listen({ ...EVERY_LIST, resourceSubscriptions: [uri] });
    },
    instructions: () => client.getInstructions(),
    async setRoots(next) {
      ownRoots = next;
      // A server of 2026 asks when it needs them; there is nothing to tell it.
      if (era === "2025-11-25") await client.sendRootsListChanged();
    },
    [Symbol.asyncDispose]: () => client.close(),
  };
  return connected;
}

async function connectV1({ url, headers, roots = [] }: Connection) {
  const ears = createEars();
  let ownRoots = roots;
  const client = new ClientV1(INFO, { capabilities: CAPABILITIES });
  client.setRequestHandler(CreateMessageRequestSchema, ({ method }) => {
    ears.ask(method);
    return SAMPLED;
  });
  client.setRequestHandler(ElicitRequestSchema, ({ method }) => {
    ears.ask(method);
    return ELICITED;
  });
  client.setRequestHandler(ListRootsRequestSchema, ({ method }) => {
    ears.ask(method);
    return rootsOf(ownRoots);
  });
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ method }) => ears.hear(method));
  client.setNotificationHandler(ToolListChangedNotificationSchema, ({ method }) => ears.hear(method));
  client.setNotificationHandler(PromptListChangedNotificationSchema, ({ method }) => ears.hear(method));
  client.setNotificationHandler(ResourceListChangedNotificationSchema, ({ method }) => ears.hear(method));
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ method }) => ears.hear(method));
  const transport = new TransportV1(new URL(url), { requestInit: { headers } });
  await client.connect(transport as Parameters<typeof client.connect>[0]); // its own types do not fit each other

  const connected: OfficialClient = {
    ...ears,
    listTools: async () => (await client.listTools()).tools,
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, given = {}, { onProgress, signal } = {}) =>
      client.callTool({ name, arguments: given }, undefined, {
        ...(onProgress && { onprogress: ({ progress }) => onProgress(progress) }),
        ...(signal && { signal }),
      }) as Promise<CallResult>, // the other member of the union is of revision 2024-10-07
    resourceUris: async () => (await client.listResources()).resources.map(({ uri }) => uri),
    read: async (uri) => (await client.readResource({ uri })).contents,
    promptNames: async () => (await client.listPrompts()).prompts.map(({ name }) => name),
    prompt: async (name, given = {}) => (await client.getPrompt({ name, arguments: given })).messages,
    complete: async (prompt, name, value) => {
      const ref = { type: "ref/prompt" as const, name: prompt };
      return (await client.complete({ ref, argument: { name, value } })).completion.values;
    },
    watch: async (uri) => void (await client.subscribeResource({ uri })),
    instructions: () => client.getInstructions(),
    async setRoots(next) {
      ownRoots = next;
      await client.sendRootsListChanged();
    },
    async [Symbol.asyncDispose]() {
      await transport.terminateSession();
      await client.close();
    },
  };
  return connected;
}
