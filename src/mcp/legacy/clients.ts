import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "../../core/log.ts";
import { GatewayError } from "../../core/errors.ts";
import { haveSameRights, type WatchCaller } from "../../gate/watch-caller.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";
import {
  errorReply,
  type Message,
  notificationText,
  type Reply,
  type RequestMessage,
  responseText,
} from "../../jsonrpc/message.ts";
import { type ClientFacts, REVISIONS_2025, type ServerHello } from "../../mcp-links/types.ts";
import { ownerOf } from "../owner.ts";
import type { Backend, Backends, InboundMessage, Target } from "../backend.ts";
import { refusalOf } from "../refusals.ts";
import type { Caller } from "../types.ts";
import { type Answer, createAnswer, sendJson } from "./answer.ts";
import { readEventId } from "./event-stream.ts";
import { MAX_SESSION_ID, type SessionFacts, type SessionIds } from "./session-ids.ts";
import { createSession, MAX_OPEN_CALLS, type Outlet, type Session } from "./session.ts";
import { createSessionStore, type SessionLimits } from "./session-store.ts";
import { firstValue } from "../../http/first-value.ts";

export interface LegacyDeps {
  readonly backends: Backends;
  readonly log: Logger;
  readonly limits: SessionLimits;
  readonly ids: SessionIds;
  /** Ends the sessions of a key that was revoked or expired, or of a user that was changed. */
  readonly watchCaller: WatchCaller;
  /** Unix milliseconds. */
  now(): number;
}

/** Intermediaries cut connections that are silent for a minute. */
const KEEP_ALIVE_MS = 25_000;
/** Session ids of clients are compared as a whole; what is longer was not given here. */
const SESSION_ID = new RegExp(`^[\\x21-\\x7e]{1,${MAX_SESSION_ID}}$`);

/**
 * Clients of the revisions up to 2025-11-25: sessions, event streams, and requests without a session, which are served by
 * a conversation that the gateway begins itself for their principal and agent.
 */
export interface LegacyClients {
  handlePost(inbound: InboundMessage): Promise<void>;
  /** Messages of one POST of revision 2025-03-26. */
  handleBatch(inbound: Omit<InboundMessage, "message">, messages: readonly Message[]): Promise<void>;
  /** The stream for what belongs to no request, or the rest of a broken one. @throws GatewayError */
  handleGet(request: IncomingMessage, response: ServerResponse, caller: Caller, target: Target): void;
  /** Ends the session. @throws GatewayError */
  handleDelete(request: IncomingMessage, response: ServerResponse, caller: Caller, target: Target): void;
  /** Other servers are served from now on: sessions are taken up again with their next request. Calls that run go on. */
  renew(): void;
  /** Ends the streams that would stay open for ever; calls go on. */
  drain(): void;
  close(): void;
  sessions(): readonly OpenSession[];
}

/** Whose a session is. */
export type OpenSession = Pick<Caller, "principal" | "agentId">;

export function createLegacyClients(deps: LegacyDeps): LegacyClients {
  const sessions = createSessionStore(deps.limits, deps.now);
  const sweeper = setInterval(() => sessions.sweep(), KEEP_ALIVE_MS).unref();

  function sessionOf(request: IncomingMessage, caller: Caller, target: Target): Session | null {
    const id = request.headers["mcp-session-id"];
    if (id === undefined) return null;
    if (typeof id !== "string" || !SESSION_ID.test(id)) throw new GatewayError("mcp.session_not_found");
    const session = sessions.find(id, ownerOf(caller, target));
    if (session && haveSameRights(session.live, caller.live)) {
      session.live = caller.live;
      return session;
    }
    // What the key may do has changed: the session goes on as a new one that knows.
    if (session) sessions.end(session);
    return takeUp(id, caller, target);
  }

  /** A session of another instance, or of this one before it was restarted. */
  function takeUp(id: string, caller: Caller, target: Target): Session {
    const facts = deps.ids.read(id, caller, target);
    if (!facts) throw new GatewayError("mcp.session_not_found");
    return begin(id, caller, target, facts, deps.backends.open(caller, target, facts));
  }

  function begin(id: string, caller: Caller, target: Target, facts: SessionFacts, backend: Backend): Session {
    const session = createSession({
      id,
      owner: ownerOf(caller, target),
      caller: { principal: caller.principal, agentId: caller.agentId },
      live: caller.live,
      revision: facts.revision,
      capabilities: facts.capabilities,
      backend,
      nowMs: deps.now(),
    });
    sessions.add(session);
    session.onEnd(deps.watchCaller(caller, () => sessions.end(session)));
    return session;
  }

  async function initialize(inbound: InboundMessage, message: RequestMessage): Promise<void> {
    const { caller, target, response } = inbound;
    const asked = readInitialize(message.params);
    if ("error" in asked) return sendJson(response, responseText(message.id, asked));
    const backend = deps.backends.open(caller, target, asked.facts);
    const revision = REVISIONS_2025.find((known) => known === asked.revision) ?? REVISIONS_2025[0];
    let hello: ServerHello;
    let session: Session;
    try {
      hello = await backend.hello();
      const facts = { ...asked.facts, revision };
      session = begin(deps.ids.issue(caller, target, facts), caller, target, facts, backend);
    } catch (thrown) {
      void backend.close();
      throw thrown;
    }
    response.setHeader("mcp-session-id", session.id);
    sendJson(response, responseText(message.id, { result: initializeResult(revision, hello) }));
  }

  async function handleMessage(
    inbound: Omit<InboundMessage, "message">,
    message: Message,
    session: Session | null,
    answer: Answer,
  ): Promise<Reply | null> {
    switch (message.kind) {
      case "request":
        return session
          ? callInSession(inbound, message, session, answer)
          : callWithoutSession(inbound, message, answer, deps);
      case "notification":
        if (session) takeNotification(session, message.method, message.params);
        return null;
      default:
        session?.answer(message);
        return null;
    }
  }

  async function callInSession(
    inbound: Omit<InboundMessage, "message">,
    message: RequestMessage,
    session: Session,
    answer: Answer,
  ): Promise<Reply> {
    if (session.calls.has(message.id))
      return errorReply(RPC.invalidRequest, "This id is in use by a request that is still open");
    if (session.calls.size >= MAX_OPEN_CALLS)
      return errorReply(RPC.serverError, `At most ${MAX_OPEN_CALLS} requests may be open in one session`);
    const call = new AbortController();
    session.calls.set(message.id, { cancel: () => call.abort(), keepAlive: () => answer.keepAlive() });
    // Without a stream nobody can come back for the reply (2025-11-25, Resumability): what nobody will read is ended.
    inbound.response.once("close", () => {
      if (!inbound.response.writableFinished && !answer.isStream()) call.abort();
    });
    try {
      return await relay(inbound, message, session.backend, {
        signal: call.signal,
        outlet: answer,
        subscribe: (uri, on) => (on ? session.subscribe(uri) : session.unsubscribe(uri)),
        ask: (request, signal) => session.ask(request, answer, signal),
      });
    } finally {
      session.callEnded(message.id);
    }
  }

  return {
    async handlePost(inbound) {
      const { request, response, message, caller, target, requestId } = inbound;
      try {
        if (message.kind === "request" && message.method === "initialize") return await initialize(inbound, message);
        const session = sessionOf(request, caller, target);
        const badVersion = checkVersion(request, message);
        if (badVersion) return sendJson(response, badVersion, 400);
        if (message.kind !== "request") {
          await handleMessage(inbound, message, session, NOWHERE);
          return void response.writeHead(202).end();
        }
        const openStream = session && acceptsEvents(request) ? () => session.openStream() : null;
        const answer = createAnswer(response, openStream);
        const reply = await handleMessage(inbound, message, session, answer).catch((thrown: unknown) => {
          if (!answer.isStream()) throw thrown;
          return refusalOf(thrown, { method: message.method, requestId, log: deps.log }).reply;
        });
        if (reply) answer.finish(responseText(message.id, reply));
      } catch (thrown) {
        if (message.kind !== "request") throw thrown;
        const refusal = refusalOf(thrown, { method: message.method, requestId, log: deps.log });
        if (response.headersSent) return;
        for (const [name, value] of Object.entries(refusal.headers)) response.setHeader(name, value);
        sendJson(response, responseText(message.id, refusal.reply), refusal.status);
      }
    },

    async handleBatch(inbound, messages) {
      const session = sessionOf(inbound.request, inbound.caller, inbound.target);
      const replies = await Promise.all(
        messages.map(async (message) => {
          if (message.kind === "request" && message.method === "initialize")
            return responseText(message.id, errorReply(RPC.invalidRequest, "initialize must not be part of a batch"));
          const method = "method" in message ? message.method : "";
          const reply = await handleMessage(inbound, message, session, NOWHERE).catch(
            (thrown: unknown) => refusalOf(thrown, { method, requestId: inbound.requestId, log: deps.log }).reply,
          );
          return reply && message.kind === "request" ? responseText(message.id, reply) : null;
        }),
      );
      const answered = replies.filter((reply) => reply !== null);
      if (answered.length === 0) return void inbound.response.writeHead(202).end();
      sendJson(inbound.response, `[${answered.join(",")}]`);
    },

    handleGet(request, response, caller, target) {
      const session = sessionOf(request, caller, target);
      if (!session) throw new GatewayError("mcp.session_not_found");
      if (!acceptsEvents(request))
        throw new GatewayError("request.not_acceptable", { message: "accept text/event-stream" });
      const last = readEventId(firstValue(request.headers["last-event-id"]));
      const broken = last && session.findStream(last.streamId);
      if (broken) return broken.attach(response, last.number);
      const stream = session.openStream();
      stream.attach(response);
      session.listenOn(stream);
    },

    handleDelete(request, response, caller, target) {
      const session = sessionOf(request, caller, target);
      if (!session) throw new GatewayError("mcp.session_not_found");
      deps.ids.forget(session.id);
      sessions.end(session);
      response.writeHead(204).end();
    },

    sessions: () => [...sessions.all()].map(({ caller }) => caller),
    renew: () => sessions.renew(),
    drain: () => sessions.stopListening(),
    close() {
      clearInterval(sweeper);
      sessions.endAll();
    },
  };
}

/** For messages whose sender waits for nothing but the status. */
const NOWHERE: Answer = {
  send: () => false,
  finish: () => undefined,
  isStream: () => false,
  keepAlive: () => undefined,
};

/** Nobody can be asked without a session: the reply is all that the client hears. */
async function callWithoutSession(
  inbound: Omit<InboundMessage, "message">,
  message: RequestMessage,
  answer: Answer,
  deps: LegacyDeps,
): Promise<Reply> {
  const backend = deps.backends.sessionless(inbound.caller, inbound.target);
  const call = new AbortController();
  inbound.response.once("close", () => {
    if (!inbound.response.writableFinished) call.abort();
  });
  const needsSession = () =>
    Promise.resolve(errorReply(RPC.invalidRequest, "Subscriptions need a session: send initialize first"));
  return relay(inbound, message, backend, {
    signal: call.signal,
    outlet: answer,
    subscribe: needsSession,
    ask: ({ method }) => Promise.resolve(errorReply(RPC.methodNotFound, `The client does not support ${method}`)),
  });
}

/** What the gateway answers itself, and what it passes on. @throws GatewayError */
function relay(
  inbound: Omit<InboundMessage, "message">,
  { method, params }: RequestMessage,
  backend: Backend,
  client: {
    readonly signal: AbortSignal;
    readonly outlet: Outlet;
    subscribe(uri: string, on: boolean): Promise<Reply>;
    ask(request: { method: string; params: JsonText | undefined }, signal: AbortSignal): Promise<Reply>;
  },
): Promise<Reply> {
  switch (method) {
    case "ping":
      return Promise.resolve({ result: "{}" });
    case "initialize":
      return Promise.resolve(errorReply(RPC.invalidRequest, "The session is initialized already"));
    case "logging/setLevel": {
      const level = stringValue(params && memberText(params, "level"));
      if (level === undefined || !LOG_LEVELS.has(level))
        return Promise.resolve(errorReply(RPC.invalidParams, `level must be one of ${[...LOG_LEVELS].join(", ")}`));
      return backend.setLogLevel(level);
    }
    case "resources/subscribe":
    case "resources/unsubscribe": {
      const uri = stringValue(params && memberText(params, "uri"));
      if (uri === undefined) return Promise.resolve(errorReply(RPC.invalidParams, "uri must be a string"));
      return client.subscribe(uri, method === "resources/subscribe");
    }
    default:
      return backend.request({
        method,
        params,
        signal: client.signal,
        headers: inbound.forwardHeaders,
        onNotification: (heard) => void client.outlet.send(notificationText(heard.method, heard.params)),
        onRequest: client.ask,
        passInputRequired: false,
      });
  }
}

/** RFC 5424's names, as MCP uses them. */
const LOG_LEVELS: ReadonlySet<string> = new Set([
  "debug",
  "info",
  "notice",
  "warning",
  "error",
  "critical",
  "alert",
  "emergency",
]);

function takeNotification(session: Session, method: string, params: JsonText | undefined): void {
  if (method === "notifications/initialized") return;
  if (method === "notifications/cancelled") {
    const id = params && memberText(params, "requestId");
    if (id !== undefined) session.calls.get(id)?.cancel();
    return;
  }
  // Nobody waits for a notification; what keeps it from the server, calls run into too.
  session.backend.notify(method, params).catch(() => undefined);
}

/** A revision that is not spoken here is a 400 (2025-11-25, Protocol Version Header); a missing header is as good as any. */
function checkVersion(request: IncomingMessage, message: Message): JsonText | null {
  const version = firstValue(request.headers["mcp-protocol-version"]);
  if (version === undefined || REVISIONS_2025.some((known) => known === version)) return null;
  const data = { supported: REVISIONS_2025, requested: version.slice(0, 32) };
  return responseText(
    message.kind === "request" ? message.id : null,
    errorReply(RPC.invalidRequest, "Bad Request: Unsupported protocol version", data),
  );
}

function readInitialize(params: JsonText | undefined): { facts: ClientFacts; revision: string } | { error: JsonText } {
  const revision = stringValue(memberText(params ?? "", "protocolVersion"));
  const capabilities = memberText(params ?? "", "capabilities");
  const info = memberText(params ?? "", "clientInfo");
  const hasName =
    info !== undefined && ["name", "version"].every((part) => stringValue(memberText(info, part)) !== undefined);
  if (revision === undefined || !capabilities?.startsWith("{") || !hasName) {
    const message = "initialize needs protocolVersion, capabilities and clientInfo with name and version";
    return { error: JSON.stringify({ code: RPC.invalidParams, message }) };
  }
  return { facts: { info, capabilities }, revision };
}

function initializeResult(revision: string, hello: ServerHello): JsonText {
  return withMembers("{}", {
    protocolVersion: JSON.stringify(revision),
    capabilities: hello.capabilities,
    serverInfo: hello.info ?? '{"name":"unknown","version":"unknown"}',
    instructions: hello.instructions === undefined ? undefined : JSON.stringify(hello.instructions),
  });
}

function acceptsEvents(request: IncomingMessage): boolean {
  const accept = request.headers.accept;
  return accept === undefined || accept.includes("text/event-stream") || accept.includes("*/*");
}
