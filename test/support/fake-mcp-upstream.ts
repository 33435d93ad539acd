import { GatewayError } from "../../src/core/errors.ts";
import type { DeclaredMcpServer } from "../../src/config/model.ts";
import type { Reply } from "../../src/jsonrpc/message.ts";
import type { ChannelEnd, Era, Link, LinkRequest, ServerNotification } from "../../src/mcp-links/types.ts";
import type { Conversation, OpenLinkOptions } from "../../src/mcp-servers/types.ts";

/** A link of {@link createFakeUpstream}, with what a test does to it. */
export interface FakeLink extends Link {
  readonly options: OpenLinkOptions;
  readonly requests: LinkRequest[];
  readonly isClosed: boolean;
  die(end?: Partial<ChannelEnd>): void;
  say(notification: ServerNotification): void;
}

/** A scripted MCP server behind links that never leave the process. What a test sets holds from the next use on. */
export interface FakeUpstream {
  open(declared: DeclaredMcpServer, options: OpenLinkOptions): Promise<Link>;
  readonly links: FakeLink[];
  /** Links open or being opened now, and the most there ever were. */
  readonly alive: number;
  readonly mostAlive: number;
  /** Attempts to open one. */
  attempts: number;
  capabilities: string;
  tools: readonly string[];
  era: Era | null;
  /** Awaited by each opening. A test makes it slow, hung or failing. */
  opening: (options: OpenLinkOptions) => Promise<void>;
  /** Awaited by each closing. */
  closing: () => Promise<void>;
  /** Answers in the place of the script. */
  answer: ((request: LinkRequest, link: FakeLink) => Promise<Reply> | undefined) | null;
}

export function createFakeUpstream(): FakeUpstream {
  let alive = 0;
  const fake = {
    links: [] as FakeLink[],
    get alive() {
      return alive;
    },
    mostAlive: 0,
    attempts: 0,
    capabilities: '{"tools":{"listChanged":true}}',
    tools: ["echo"] as readonly string[],
    era: null as Era | null,
    opening: async () => {},
    closing: async () => {},
    answer: null,
    open,
  } as { -readonly [K in keyof FakeUpstream]: FakeUpstream[K] };

  async function open(declared: DeclaredMcpServer, options: OpenLinkOptions): Promise<Link> {
    fake.attempts++;
    alive++;
    fake.mostAlive = Math.max(fake.mostAlive, alive);
    try {
      await Promise.race([fake.opening(options), whenAborted(options.signal)]);
    } catch (error) {
      alive--;
      throw error;
    }
    const link = createFakeLink(fake, declared.name, options, () => void alive--);
    fake.links.push(link);
    return link;
  }
  return fake;
}

function createFakeLink(fake: FakeUpstream, server: string, options: OpenLinkOptions, gone: () => void): FakeLink {
  const { promise: closed, resolve } = Promise.withResolvers<ChannelEnd>();
  const listeners = new Set<(notification: ServerNotification) => void>();
  let isClosed = false;
  let closing: Promise<void> | null = null;
  const end = (how: ChannelEnd) => {
    isClosed = true;
    resolve(how);
  };
  const link: FakeLink = {
    server,
    options,
    requests: [],
    era: fake.era ?? options.era,
    hello: { revision: "2025-11-25", capabilities: fake.capabilities, info: null, instructions: undefined },
    get isClosed() {
      return isClosed;
    },
    async request(request) {
      link.requests.push(request);
      if (isClosed) throw new GatewayError("upstream.reset");
      const scripted = fake.answer?.(request, link);
      if (scripted) return scripted;
      if (request.method === "tools/list")
        return { result: JSON.stringify({ tools: fake.tools.map((name) => ({ name, inputSchema: {} })) }) };
      return { result: "{}" };
    },
    notify: async () => {},
    setLogLevel: async () => ({ result: "{}" }),
    watch(filter, onNotification) {
      listeners.add(onNotification);
      return {
        granted: Promise.resolve(filter),
        change: async () => {},
        close: () => void listeners.delete(onNotification),
      };
    },
    listen: () => {},
    closed,
    close() {
      closing ??= fake.closing().then(() => {
        end({ reason: "closed", expected: true });
        gone();
      });
      return closing;
    },
    die: (how) => end({ reason: "the process ended", expected: false, ...how }),
    say(notification) {
      for (const listener of listeners) listener(notification);
    },
  };
  return link;
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new GatewayError("upstream.start_failed")), { once: true });
  });
}

export function conversation(key: string, more: Partial<Conversation> = {}): Conversation {
  return {
    key,
    principalUid: "usr_1",
    facts: { info: null, capabilities: "{}" },
    era: "2025",
    headers: {},
    shared: false,
    ...more,
  };
}

export function declaredStdio(
  name: string,
  maxProcesses = 4,
  more: Partial<DeclaredMcpServer> = {},
): DeclaredMcpServer {
  return {
    ...DECLARED,
    name,
    transport: {
      kind: "stdio",
      command: "server",
      args: [],
      env: {},
      cwd: null,
      container: null,
      maxProcesses,
      idleTimeoutMs: 60_000,
    },
    ...more,
  };
}

export function declaredHttp(name: string, more: Partial<DeclaredMcpServer> = {}): DeclaredMcpServer {
  return {
    ...DECLARED,
    name,
    transport: {
      kind: "http",
      url: "http://127.0.0.1:1/mcp",
      protocol: "auto",
      headers: {},
      connectTimeoutMs: 5_000,
      allowAddresses: [],
      auth: { kind: "none" },
    },
    ...more,
  };
}

const DECLARED: Omit<DeclaredMcpServer, "name" | "transport"> = {
  org: null,
  tools: null,
  startupTimeoutMs: 30_000,
  toolTimeoutMs: 60_000,
  toolTimeoutsMs: {},
  responseFilters: {},
  toolCallLimits: {},
  breaker: { threshold: 3, cooldownMs: 60_000 },
};
