import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, memberText } from "../../jsonrpc/json-slice.ts";
import {
  errorReply,
  type IdText,
  type Message,
  notificationText,
  type Reply,
  requestText,
} from "../../jsonrpc/message.ts";
import type { LiveKey } from "../../gate/key-cache.ts";
import type { ServerNotification, ServerRequest, Watch, WatchFilter } from "../../mcp-links/types.ts";
import type { Backend } from "../backend.ts";
import type { Caller } from "../types.ts";
import { createEventStream, type EventStream } from "./event-stream.ts";

/** Broken streams that a client may still come back for. */
const MAX_STREAMS = 16;
/** Requests of servers that wait for the client's answer. */
const MAX_QUESTIONS = 64;
/** Requests of the client that may be open at once. */
export const MAX_OPEN_CALLS = 256;
const MAX_SUBSCRIPTIONS = 1_000;

/** Where messages for the client go. */
export interface Outlet {
  /** False when the client cannot be reached that way. */
  send(message: JsonText): boolean;
}

/** A request of the client that is being answered. */
export interface OpenCall {
  cancel(): void;
  keepAlive(): void;
}

/** A protocol session with a client of the 2025 era. Belongs to one principal, agent and target, and tells nobody else apart. */
export interface Session {
  readonly id: string;
  /** Of the principal, the agent and the target: what a request must match to find it. */
  readonly owner: string;
  readonly principalUid: string;
  readonly caller: Pick<Caller, "principal" | "agentId">;
  /** The key as it was last seen to have the rights that the session was opened with; null for every other principal. */
  live: LiveKey | null;
  readonly revision: string;
  readonly backend: Backend;
  /** Requests of the client that are being answered, by id. */
  readonly calls: Map<IdText, OpenCall>;
  lastUsedMs: number;
  isBusy(): boolean;
  openStream(): EventStream;
  findStream(id: string): EventStream | undefined;
  /** The stream for what belongs to no request; the one before it stays open for what it began. */
  listenOn(stream: EventStream): void;
  /** Ends that stream: nothing would ever end it while the gateway stops. */
  stopListening(): void;
  /** Asks the client and waits for its answer. Never rejects. */
  ask(request: ServerRequest, outlet: Outlet | null, signal: AbortSignal): Promise<Reply>;
  /** Takes the client's answer to a question; an unknown id is ignored. */
  answer(message: Extract<Message, { kind: "result" | "error" }>): void;
  subscribe(uri: string): Promise<Reply>;
  unsubscribe(uri: string): Promise<Reply>;
  keepAlive(): void;
  /** Runs `stop` when the session ends, or at once where it has. */
  onEnd(stop: () => void): void;
  end(): void;
  /** Ends it as soon as no call runs, and tells the client to look at all lists again. */
  retire(): void;
  /** To be called when a call has ended. */
  callEnded(id: IdText): void;
}

/** What a client must have declared to be asked (2025-11-25, Client Features). */
const NEEDED_CAPABILITY: Readonly<Record<string, string>> = {
  "sampling/createMessage": "sampling",
  "elicitation/create": "elicitation",
  "roots/list": "roots",
};

/** Time for a client to open its stream: a server may ask as soon as it is initialized, before its client listens. */
const LISTENS_WITHIN_MS = 10_000;

export function createSession(facts: {
  readonly id: string;
  readonly owner: string;
  readonly caller: Pick<Caller, "principal" | "agentId">;
  readonly live: LiveKey | null;
  readonly revision: string;
  readonly capabilities: JsonText;
  readonly backend: Backend;
  readonly nowMs: number;
}): Session {
  const { backend } = facts;
  const calls = new Map<IdText, OpenCall>();
  const streams = new Map<string, EventStream>();
  const questions = new Map<IdText, (reply: Reply) => void>();
  /** Questions that wait for the client to listen. */
  const unsent = new Map<IdText, { readonly text: JsonText; readonly timer: NodeJS.Timeout }>();
  const subscriptions = new Set<string>();
  let listening: EventStream | null = null;
  let watch: Watch | null = null;
  let questionCount = 0;
  let hasEnded = false;
  let isRetired = false;
  const stops: (() => void)[] = [];

  const unsolicited: Outlet = {
    send(message) {
      if (!listening) return false;
      listening.send(message);
      return true;
    },
  };
  const filter = (): WatchFilter => ({
    tools: true,
    prompts: true,
    resources: true,
    resourceUris: [...subscriptions],
  });
  const tell = ({ method, params }: ServerNotification) => void unsolicited.send(notificationText(method, params));

  function openStream(): EventStream {
    for (const [id, stream] of streams) {
      if (streams.size < MAX_STREAMS && !stream.isSpent()) continue;
      if (stream === listening || stream.isAttached()) continue;
      streams.delete(id);
    }
    const stream = createEventStream();
    streams.set(stream.id, stream);
    return stream;
  }

  async function ask(request: ServerRequest, outlet: Outlet | null, signal: AbortSignal): Promise<Reply> {
    const needed = NEEDED_CAPABILITY[request.method];
    if (needed !== undefined && memberText(facts.capabilities, needed) === undefined)
      return errorReply(RPC.methodNotFound, `The client does not support ${needed}`);
    if (questions.size >= MAX_QUESTIONS) return errorReply(RPC.serverError, "Too many requests wait for the client");
    questionCount += 1;
    const id = String(questionCount);
    return new Promise((resolve) => {
      const settle = (reply: Reply) => {
        questions.delete(id);
        clearTimeout(unsent.get(id)?.timer);
        unsent.delete(id);
        signal.removeEventListener("abort", withdraw);
        resolve(reply);
      };
      const route = outlet ?? unsolicited;
      const withdraw = () => {
        if (!unsent.has(id)) route.send(notificationText("notifications/cancelled", `{"requestId":${id}}`));
        settle(errorReply(RPC.serverError, "The request was withdrawn"));
      };
      if (signal.aborted) return resolve(errorReply(RPC.serverError, "The request was withdrawn"));
      questions.set(id, settle);
      signal.addEventListener("abort", withdraw);
      const text = requestText(id, request.method, request.params);
      if (route.send(text)) return;
      const giveUp = () => settle(errorReply(RPC.serverError, "The client has no event stream open"));
      if (outlet !== null) return giveUp();
      unsent.set(id, { text, timer: setTimeout(giveUp, LISTENS_WITHIN_MS).unref() });
    });
  }

  async function changeSubscriptions(): Promise<Reply> {
    if (watch) await watch.change(filter());
    else watch = backend.watch(filter(), tell);
    return { result: "{}" };
  }

  backend.listen({ onNotification: tell, onRequest: (request, signal) => ask(request, null, signal) });

  return {
    id: facts.id,
    owner: facts.owner,
    principalUid: facts.caller.principal.uid,
    caller: facts.caller,
    live: facts.live,
    revision: facts.revision,
    backend,
    calls,
    lastUsedMs: facts.nowMs,
    isBusy: () => calls.size > 0 || [...streams.values()].some((stream) => stream.isAttached()),
    openStream,
    findStream: (id) => streams.get(id),
    listenOn(stream) {
      listening = stream;
      for (const { text, timer } of unsent.values()) {
        clearTimeout(timer);
        stream.send(text);
      }
      unsent.clear();
      watch ??= backend.watch(filter(), tell);
    },
    stopListening() {
      listening?.finish();
      listening = null;
    },
    ask,
    answer(message) {
      if (message.id === null) return;
      questions.get(message.id)?.(message.kind === "result" ? { result: message.result } : { error: message.error });
    },
    subscribe(uri) {
      if (subscriptions.size >= MAX_SUBSCRIPTIONS)
        return Promise.resolve(errorReply(RPC.invalidParams, `At most ${MAX_SUBSCRIPTIONS} resources per session`));
      subscriptions.add(uri);
      return changeSubscriptions();
    },
    unsubscribe(uri) {
      subscriptions.delete(uri);
      return changeSubscriptions();
    },
    keepAlive() {
      for (const call of calls.values()) call.keepAlive();
      for (const [id, stream] of streams) {
        stream.keepAlive();
        if (stream.isSpent() && stream !== listening) streams.delete(id);
      }
    },
    onEnd(stop) {
      if (hasEnded) stop();
      else stops.push(stop);
    },
    callEnded(id) {
      calls.delete(id);
      if (isRetired && calls.size === 0) end();
    },
    retire() {
      isRetired = true;
      for (const part of ["tools", "prompts", "resources"])
        unsolicited.send(notificationText(`notifications/${part}/list_changed`, undefined));
      listening?.finish();
      listening = null;
      if (calls.size === 0) end();
    },
    end,
  };

  function end(): void {
    if (hasEnded) return;
    hasEnded = true;
    for (const stop of stops.splice(0)) stop();
    for (const call of calls.values()) call.cancel();
    for (const settle of [...questions.values()]) settle(errorReply(RPC.serverError, "The session has ended"));
    for (const stream of streams.values()) stream.finish();
    watch?.close();
    void backend.close();
  }
}
