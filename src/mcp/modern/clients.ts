import { type Clock, steadyClock } from "../../core/clock.ts";
import type { Logger } from "../../core/log.ts";
import type { WatchCaller } from "../../gate/watch-caller.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, stringValue } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import { REVISION_2026 } from "../../mcp-links/types.ts";
import type { Backend, Backends, InboundMessage } from "../backend.ts";
import { refusalOf } from "../refusals.ts";
import { bindingOf } from "./binding.ts";
import { type Call, openCall, type Waiting } from "./call.ts";
import type { Classification } from "./classify.ts";
import { discoverReply } from "./discover.ts";
import { type Exchange, openExchange, type OpenStreams } from "./exchange.ts";
import { createHeaderArguments } from "./header-arguments.ts";
import { readResponses } from "./input-requests.ts";
import { createListenStreams } from "./listen.ts";
import { badState, headersFor, type ModernRequest, principalOf, scopeOf, valueOf, without } from "./request-parts.ts";
import { modernReply } from "./results.ts";
import { createSuspendedCalls, STATE_PREFIX } from "./suspended-calls.ts";

export interface ModernClientsDeps {
  readonly backends: Pick<Backends, "shared">;
  readonly log: Pick<Logger, "error">;
  /** Of the gateway, for servers that do not say who they are. */
  readonly version: string;
  /** What a key that was revoked left open ends. */
  readonly watchCaller: WatchCaller;
  readonly clock?: Clock;
  readonly limits?: Partial<ModernLimits>;
}

/** Bounds of what clients of the 2026 era may keep open. */
export interface ModernLimits {
  /** Calls that wait for their client's input: of one principal, in all, and how long each. */
  readonly suspendedPerPrincipal: number;
  readonly suspended: number;
  readonly suspendedMs: number;
  /** Streams of `subscriptions/listen`: of one principal, and in all. */
  readonly listensPerPrincipal: number;
  readonly listens: number;
  /** How often idle streams say that they are alive, and expired calls are looked for. */
  readonly keepAliveMs: number;
  /** Bytes that may wait for a client that does not read its stream. */
  readonly maxBufferedBytes: number;
}

const DEFAULT_LIMITS: ModernLimits = {
  suspendedPerPrincipal: 64,
  suspended: 1_024,
  suspendedMs: 300_000,
  listensPerPrincipal: 256,
  listens: 4_096,
  keepAliveMs: 15_000,
  maxBufferedBytes: 4 * 1024 * 1024,
};

/** A POST of the 2026 era, well formed or not. */
export type ModernMessage = Exclude<Classification, { kind: "legacy" }>;

export interface ModernClients {
  /** Answers one POST. Never throws; settles when the answer is written, the stream stands, or the client is gone. */
  handle(inbound: InboundMessage, message: ModernMessage): Promise<void>;
  /** Ends subscriptions with their results and cancels suspended calls. Running requests are answered. */
  close(): void;
  /** Other servers are served from now on: ends subscriptions with their results, so that clients subscribe anew. */
  renew(): void;
}

/** Requests of earlier revisions, which 2026-07-28 has not: they are unknown here, whatever the server would say. */
const REMOVED: ReadonlySet<string> = new Set([
  "initialize",
  "ping",
  "logging/setLevel",
  "resources/subscribe",
  "resources/unsubscribe",
  "tasks/list",
  "tasks/result",
  "roots/list",
  "sampling/createMessage",
  "elicitation/create",
]);

/** What a client may notify of in the core of some revision; none of it means anything without a session. */
const CORE_NOTIFICATIONS: ReadonlySet<string> = new Set([
  "notifications/cancelled",
  "notifications/progress",
  "notifications/initialized",
  "notifications/roots/list_changed",
]);

/** Serves clients of revision 2026-07-28: each request stands for itself. */
export function createModernClients(deps: ModernClientsDeps): ModernClients {
  const { backends, log } = deps;
  const limits = { ...DEFAULT_LIMITS, ...deps.limits };
  const suspended = createSuspendedCalls<Call>(deps.clock ?? steadyClock, {
    perPrincipal: limits.suspendedPerPrincipal,
    total: limits.suspended,
    ms: limits.suspendedMs,
  });
  const headerArguments = createHeaderArguments();
  const gateway = JSON.stringify({ name: "bifrost", version: deps.version });
  const listens = createListenStreams({ perPrincipal: limits.listensPerPrincipal, total: limits.listens });
  const streams = new Set<Pick<Exchange, "keepAlive">>();
  const timer = setInterval(() => {
    for (const stream of streams) stream.keepAlive();
    suspended.sweep();
  }, limits.keepAliveMs).unref();

  const handleRequest = (inbound: InboundMessage, request: ModernRequest): Promise<void> => {
    const { method } = request.message;
    if (REMOVED.has(method)) return answer(inbound, request, errorReply(RPC.methodNotFound, "Method not found"));
    if (method === "server/discover") return discover(inbound, request);
    if (method === "subscriptions/listen") return listen(inbound, request);
    if (method === "tools/list") return call(inbound, request, () => learning(inbound, request));
    const wrong =
      method === "tools/call" &&
      headerArguments.check(scopeOf(inbound), inbound.request.headers, request.message.params);
    if (wrong) return answer(inbound, request, wrong);
    const state = valueOf(request, "requestState");
    if (state === undefined && valueOf(request, "inputResponses") === undefined)
      return call(inbound, request, () => backendOf(inbound, request));
    const own = stringValue(state);
    return own?.startsWith(STATE_PREFIX) ? resume(inbound, request, own) : relayRetry(inbound, request, state);
  };

  return {
    async handle(inbound, message) {
      if (message.kind === "refused") {
        const id = inbound.message.kind === "request" ? inbound.message.id : null;
        return open(inbound, id, () => {}).answer(message.reply, { status: message.status });
      }
      if (message.kind === "request") return handleRequest(inbound, message);
      notify(inbound, message);
    },

    renew: () => listens.endAll(),
    close() {
      clearInterval(timer);
      listens.close();
      suspended.close();
    },
  };

  function open({ response }: InboundMessage, id: JsonText | null, onGone: () => void): Exchange {
    const openStreams: OpenStreams = streams;
    return openExchange({ response, id, maxBufferedBytes: limits.maxBufferedBytes, streams: openStreams, onGone });
  }

  function backendOf(inbound: InboundMessage, { envelope }: ModernRequest): Backend {
    return backends.shared(inbound.caller, inbound.target, envelope.client);
  }

  /** The backend, whose lists of tools say which arguments belong into headers. */
  function learning(inbound: InboundMessage, request: ModernRequest): Pick<Backend, "request"> {
    const backend = backendOf(inbound, request);
    return {
      async request(sent) {
        const reply = await backend.request(sent);
        if ("result" in reply) headerArguments.learn(scopeOf(inbound), reply.result);
        return reply;
      },
    };
  }

  async function answer(inbound: InboundMessage, { message }: ModernRequest, reply: Reply): Promise<void> {
    open(inbound, message.id, () => {}).answer(reply);
  }

  async function refuse(inbound: InboundMessage, { message }: ModernRequest, thrown: unknown): Promise<void> {
    const { method, id } = message;
    const { reply, status, headers } = refusalOf(thrown, { method, requestId: inbound.requestId, log });
    open(inbound, id, () => {}).answer(modernReply(method, reply), { status, headers });
  }

  async function discover(inbound: InboundMessage, request: ModernRequest): Promise<void> {
    try {
      const hello = await backendOf(inbound, request).hello();
      await answer(inbound, request, modernReply("server/discover", discoverReply(hello, gateway)));
    } catch (thrown) {
      await refuse(inbound, request, thrown);
    }
  }

  async function listen(inbound: InboundMessage, request: ModernRequest): Promise<void> {
    const { id, params } = request.message;
    let stop: (() => void) | null = null;
    const exchange = open(inbound, id, () => stop?.());
    const refuse = (thrown: unknown) => refusalOf(thrown, { method: "", requestId: inbound.requestId, log });
    try {
      stop = await listens.open({
        principal: principalOf(inbound),
        id,
        params,
        exchange,
        backend: backendOf(inbound, request),
        watchCaller: (end) => deps.watchCaller(inbound.caller, end),
        refuse: (reason) => refuse(reason).reply,
      });
      if (!exchange.isOpen()) stop();
    } catch (thrown) {
      const { reply, status, headers } = refuse(thrown);
      exchange.answer(reply, { status, headers });
    }
  }

  /** A retry whose state was not given here: a server of its own era knows it. Another one would take the call for new. */
  async function relayRetry(
    inbound: InboundMessage,
    request: ModernRequest,
    state: JsonText | undefined,
  ): Promise<void> {
    try {
      const backend = backendOf(inbound, request);
      // Which server a unified call is for is known behind the backend only.
      if (inbound.target.kind === "unified" || (await backend.hello()).revision === REVISION_2026)
        return await call(inbound, request, () => backend);
      if (state !== undefined) return await answer(inbound, request, badState());
      return await call(inbound, without(request, "inputResponses"), () => backend);
    } catch (thrown) {
      await refuse(inbound, request, thrown);
    }
  }

  function call(
    inbound: InboundMessage,
    request: ModernRequest,
    backend: () => Pick<Backend, "request">,
  ): Promise<void> {
    const { message, envelope } = request;
    return new Promise((done) => {
      let opened: Call | null = null;
      const waiting = waitingFor(inbound, request, { onGone: () => opened?.abandon(), done });
      try {
        opened = openCall({
          backend: backend(),
          method: message.method,
          params: message.params,
          client: envelope.client,
          headers: headersFor(inbound),
          principal: principalOf(inbound),
          suspended,
          watchCaller: (end) => deps.watchCaller(inbound.caller, end),
          bindingOf: () => bindingOf(inbound, message.method, message.params),
        });
        opened.start(waiting);
      } catch (thrown) {
        const { reply, status, headers } = waiting.refuse(thrown);
        waiting.exchange.answer(modernReply(message.method, reply), { status, headers });
        done();
      }
    });
  }

  async function resume(inbound: InboundMessage, request: ModernRequest, state: string): Promise<void> {
    const { message } = request;
    const found = suspended.find(state, bindingOf(inbound, message.method, message.params));
    if (!found) return answer(inbound, request, badState());
    const answers = readResponses(valueOf(request, "inputResponses"));
    const bad = answers ? found.findBadAnswer(answers) : "";
    if (!answers || bad !== null) {
      const where = bad
        ? `inputResponses.${bad}: not the result of what was asked`
        : "inputResponses must be an object";
      return answer(inbound, request, errorReply(RPC.invalidParams, `Invalid params: ${where}`));
    }
    suspended.take(state);
    return new Promise((done) => {
      found.resume(waitingFor(inbound, request, { onGone: () => found.abandon(), done }), answers);
    });
  }

  function waitingFor(
    inbound: InboundMessage,
    { message, envelope }: ModernRequest,
    { onGone, done }: { onGone: () => void; done: () => void },
  ): Waiting {
    const { requestId } = inbound;
    const exchange = open(inbound, message.id, onGone);
    return {
      exchange,
      envelope,
      done,
      refuse: (thrown) => refusalOf(thrown, { method: message.method, requestId, log }),
    };
  }

  function notify(
    inbound: InboundMessage,
    { message, envelope }: Extract<Classification, { kind: "notification" }>,
  ): void {
    inbound.response.writeHead(202, { "content-length": 0 }).end();
    if (envelope === null || CORE_NOTIFICATIONS.has(message.method)) return;
    // Accepted, not answered: what becomes of it is nobody's concern any more.
    void Promise.resolve()
      .then(() => backends.shared(inbound.caller, inbound.target, envelope.client))
      .then((backend) => backend.notify(message.method, message.params))
      .catch(() => {});
  }
}
