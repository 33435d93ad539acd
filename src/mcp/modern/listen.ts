import { GatewayError } from "../../core/errors.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, memberText, stringValue, withMembers, withMembersIn } from "../../jsonrpc/json-slice.ts";
import { errorReply, type IdText, type Reply } from "../../jsonrpc/message.ts";
import { META } from "../../mcp-links/eras/envelope.ts";
import type { ServerHello, ServerNotification, Watch, WatchFilter } from "../../mcp-links/types.ts";
import type { Backend } from "../backend.ts";
import { isObject } from "./envelope.ts";
import type { Exchange } from "./exchange.ts";

/** How many streams may be open: of one principal, and of all. */
export interface ListenLimits {
  readonly perPrincipal: number;
  readonly total: number;
}

/** Notifications that may wait for the acknowledgment, which must go first. */
const MAX_EARLY = 64;

export interface ListenRequest {
  readonly principal: string;
  readonly id: IdText;
  readonly params: JsonText | undefined;
  readonly backend: Pick<Backend, "hello" | "watch">;
  readonly exchange: Exchange;
  /** Calls `end` when the caller may no longer keep anything open; the returned function stops that. */
  readonly watchCaller: (end: (reason: GatewayError) => void) => () => void;
  /** The answer that ends the stream for a reason. */
  refuse(reason: GatewayError): Reply;
}

/**
 * The event streams of `subscriptions/listen` (2026-07-28, Subscriptions): acknowledged first with what the server agreed
 * to, then only what was agreed to, each message marked with the id of the request. A stream ends with its result when the
 * gateway stops, or at once where the server agreed to nothing.
 */
export function createListenStreams(limits: ListenLimits) {
  /** The ways to end the open streams, by principal. */
  const streams = new Map<string, Set<() => void>>();
  let total = 0;
  const endAll = () => {
    for (const own of streams.values()) for (const end of own) end();
  };
  let closed = false;

  const register = (principal: string, end: () => void) => {
    const own = streams.get(principal) ?? new Set();
    if (own.size >= limits.perPrincipal || total >= limits.total)
      throw new GatewayError("limit.concurrency", { message: "too many open subscriptions" });
    streams.set(principal, own.add(end));
    total++;
    return () => {
      if (!own.delete(end)) return;
      total--;
      if (own.size === 0) streams.delete(principal);
    };
  };

  return {
    get size() {
      return total;
    },

    /**
     * Opens one stream. Resolves when it is acknowledged or answered; the returned function ends it without a word, for a
     * client that is gone.
     *
     * @throws GatewayError `limit.concurrency`, and what the backend throws; nothing was sent then
     */
    async open(request: ListenRequest): Promise<() => void> {
      const { principal, id, params, backend, exchange } = request;
      if (closed) throw new GatewayError("gateway.draining");
      const wanted = readFilter(params);
      if (wanted === null) {
        exchange.answer(errorReply(RPC.invalidParams, "Invalid params: notifications must be a SubscriptionFilter"));
        return () => {};
      }
      let watch: Watch | null = null;
      let agreed: WatchFilter | null = null;
      let hello: ServerHello | null = null;
      const early: ServerNotification[] = [];

      const send = (notification: ServerNotification) => {
        if (!agreed) return void (early.length < MAX_EARLY && early.push(notification));
        if (isAgreed(agreed, notification)) exchange.notify(marked(notification, id));
      };
      const finish = () => {
        stop();
        exchange.answer(endReply(id, hello));
      };
      const unregister = register(principal, finish);
      const unwatch = request.watchCaller((reason) => {
        stop();
        exchange.answer(request.refuse(reason));
      });
      const stop = () => {
        unregister();
        unwatch();
        watch?.close();
        watch = null;
      };
      try {
        hello = await backend.hello();
        // The client may have gone, or the gateway begun to stop, while the server was asked.
        if (exchange.isOpen()) watch = backend.watch(wanted, send);
        const granted = await watch?.granted;
        if (!exchange.isOpen() || !granted) return stop;
        agreed = inBoth(wanted, granted);
        exchange.notify(marked(acknowledgment(agreed), id));
        for (const notification of early.splice(0)) send(notification);
        if (isNothing(agreed)) finish();
        return stop;
      } catch (thrown) {
        stop();
        throw thrown;
      }
    },

    /** Ends all streams with their results. */
    endAll,
    /** The same, and opens no more. */
    close(): void {
      closed = true;
      endAll();
    },
  };
}

/** What the client wants to hear, or null where params do not say it properly. */
function readFilter(params: JsonText | undefined): WatchFilter | null {
  const text = params === undefined ? undefined : memberText(params, "notifications");
  const filter: unknown = text === undefined ? undefined : JSON.parse(text);
  if (!isObject(filter)) return null;
  const { toolsListChanged, promptsListChanged, resourcesListChanged, resourceSubscriptions = [] } = filter;
  const flags = [toolsListChanged, promptsListChanged, resourcesListChanged];
  if (!flags.every((flag) => flag === undefined || typeof flag === "boolean")) return null;
  if (!Array.isArray(resourceSubscriptions)) return null;
  const uris = resourceSubscriptions.filter((uri): uri is string => typeof uri === "string");
  if (uris.length < resourceSubscriptions.length) return null;
  return {
    tools: toolsListChanged === true,
    prompts: promptsListChanged === true,
    resources: resourcesListChanged === true,
    resourceUris: uris,
  };
}

function inBoth(wanted: WatchFilter, granted: WatchFilter): WatchFilter {
  return {
    tools: wanted.tools && granted.tools,
    prompts: wanted.prompts && granted.prompts,
    resources: wanted.resources && granted.resources,
    resourceUris: granted.resourceUris.filter((uri) => wanted.resourceUris.includes(uri)),
  };
}

function isNothing({ tools, prompts, resources, resourceUris }: WatchFilter): boolean {
  return !tools && !prompts && !resources && resourceUris.length === 0;
}

function isAgreed(agreed: WatchFilter, { method, params }: ServerNotification): boolean {
  if (method === "notifications/tools/list_changed") return agreed.tools;
  if (method === "notifications/prompts/list_changed") return agreed.prompts;
  if (method === "notifications/resources/list_changed") return agreed.resources;
  if (method !== "notifications/resources/updated") return false;
  const uri = params === undefined ? undefined : stringValue(memberText(params, "uri"));
  // It may be a part of the resource that was subscribed to (Resources, Subscriptions).
  return uri !== undefined && agreed.resourceUris.some((agreedUri) => uri.startsWith(agreedUri));
}

function acknowledgment({ tools, prompts, resources, resourceUris }: WatchFilter): ServerNotification {
  const notifications = {
    ...(tools && { toolsListChanged: true }),
    ...(prompts && { promptsListChanged: true }),
    ...(resources && { resourcesListChanged: true }),
    ...(resourceUris.length > 0 && { resourceSubscriptions: resourceUris }),
  };
  return { method: "notifications/subscriptions/acknowledged", params: JSON.stringify({ notifications }) };
}

function marked({ method, params }: ServerNotification, id: IdText): ServerNotification {
  return { method, params: withMembersIn(params ?? "{}", "_meta", { [META.subscriptionId]: id }) };
}

function endReply(id: IdText, hello: ServerHello | null): Reply {
  const meta = withMembers("{}", { [META.subscriptionId]: id, [META.serverInfo]: hello?.info ?? undefined });
  return { result: `{"resultType":"complete","_meta":${meta}}` };
}
