import type { DeclaredMcpServer } from "../../config/model.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Admission } from "../../gate/admit.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import type { ExchangeEvents, Link, ServerHello, Watch, WatchFilter } from "../../mcp-links/types.ts";
import type { ServerAccess } from "../../mcp-policy/access.ts";
import type { Catalog, Conversation, McpServer } from "../../mcp-servers/types.ts";
import type { Backend, BackendRequest } from "../backend.ts";
import type { Caller } from "../types.ts";
import { createCallDeadline } from "./call-deadline.ts";
import type { CallPolicy } from "./call-policy.ts";
import { watchServer } from "./change-watch.ts";
import { filterList } from "./filter-list.ts";
import type { Rounds } from "./rounds.ts";

/** Stands around each request to a server: what it refuses, asks and answers is seen here. Changes nothing of it. */
export type ObserveRequest = (
  facts: { readonly caller: Caller; readonly server: string },
  request: BackendRequest,
  next: (request: BackendRequest) => Promise<Reply>,
) => Promise<Reply>;

export interface ServerBackendDeps {
  readonly observe?: ObserveRequest | null;
  readonly policy: CallPolicy;
  readonly rounds: Rounds;
  /** Whether results of this tool are filtered: it is listed without `outputSchema`, which they need not match. */
  isFiltered(server: DeclaredMcpServer, tool: string): boolean;
  /** A conversation of a session is over. */
  ended(conversation: Conversation): void;
  /** A place in the caller's limits, and one use where `isUse`. Null: nothing is limited. @throws GatewayError */
  admit(caller: Caller, isUse: boolean): Admission | null | Promise<Admission | null>;
  /** Ends the call when the caller's key is revoked. Returns what removes it. */
  register(caller: Caller, abort: (reason: GatewayError) => void): () => void;
  /** What happened to the caller's key before it was registered. @throws GatewayError */
  confirm(caller: Caller): Promise<void> | undefined;
}

/** What a request takes of the caller's limits: a place in its rate and a use, the place alone, or nothing more. */
type Cost = "use" | "rate" | "free";

/** One server, as one caller in one conversation may use it. */
export interface ServerBackend extends Backend {
  readonly name: string;
  /** What it offers to this caller. @throws GatewayError */
  catalog(): Promise<Catalog>;
  /** What the server says of its use, where it is known already. */
  instructions(): string | undefined;
  /** Whether the conversation has begun. */
  isOpen(): boolean;
  /** As `setLogLevel`, but begins no conversation: a server that is not needed yet hears of it when it is. */
  useLogLevel(level: string): Promise<void>;
}

/** What each method asks for by name, and which kind of thing that is. */
const NAMED: Readonly<Record<string, { readonly member: string; readonly kind: "tool" | "prompt" | "resource" }>> = {
  "tools/call": { member: "name", kind: "tool" },
  "prompts/get": { member: "name", kind: "prompt" },
  "resources/read": { member: "uri", kind: "resource" },
  "resources/subscribe": { member: "uri", kind: "resource" },
  "resources/unsubscribe": { member: "uri", kind: "resource" },
};

/**
 * The life of one request to one server, top to bottom: name, access, limits, the call, and what its answer goes through. A
 * stage returns what the next one needs or throws a GatewayError; the order is the security argument.
 */
export function createServerBackend(
  facts: {
    readonly caller: Caller;
    readonly server: McpServer;
    readonly access: ServerAccess;
    readonly conversation: Conversation;
  },
  deps: ServerBackendDeps,
): ServerBackend {
  const { caller, server, access, conversation } = facts;
  const { policy } = deps;
  const { name: serverName } = server.declared;
  const hasFilters = Object.keys(server.declared.responseFilters).length > 0;
  let events: ExchangeEvents | null = null;
  let level: string | null = null;
  let known: Link | null = null;

  /** The conversation's link; a new one is told what the client said to the one before it. */
  async function link(): Promise<Link> {
    const current = await server.lease(conversation);
    if (current === known) return current;
    known = current;
    if (events) current.listen(events);
    if (level !== null) await current.setLogLevel(level);
    return current;
  }

  async function callTool(request: BackendRequest): Promise<Reply> {
    const name = stringValue(request.params && memberText(request.params, "name"));
    if (name === undefined) return errorReply(RPC.invalidParams, "name must be a string");
    const readOnly = access.isReadOnly && (await isReadOnly(name));
    if (!access.allowsTool(name, { readOnly })) throw new GatewayError("mcp.tool_not_allowed");
    access.checkArguments(name, request.params && memberText(request.params, "arguments"));
    const owner = `${conversation.principalUid} ${caller.agentId ?? ""} ${serverName} ${name}`;
    const isFurtherRound = request.passInputRequired && deps.rounds.isFurther(owner, request.params);
    const call = { caller, conversation, server: server.declared, tool: name, isFurtherRound };
    const settle = await policy.begin(call, request.params);
    try {
      const reply = await forward(request, policy.timeoutMs(call), isFurtherRound ? "free" : "use");
      if (request.passInputRequired) deps.rounds.note(owner, request.params, reply);
      return await settle.answered(reply);
    } catch (failure) {
      settle.failed(failure);
      throw failure;
    }
  }

  async function isReadOnly(name: string): Promise<boolean> {
    const { tools } = await server.catalog(conversation);
    return tools.some((tool) => tool.name === name && tool.readOnlyHint);
  }

  /** Admitted, timed, and ended by a revocation. */
  async function forward(request: BackendRequest, timeoutMs: number, cost: Cost): Promise<Reply> {
    const pending = cost === "free" ? null : deps.admit(caller, cost === "use");
    const admission = pending instanceof Promise ? await pending : pending;
    const deadline = createCallDeadline(request.signal, timeoutMs);
    const forget = deps.register(caller, (reason) => deadline.abort(reason));
    try {
      const confirmed = deps.confirm(caller);
      if (confirmed) await confirmed;
      const current = await link();
      return await current.request({
        ...request,
        client: conversation.facts,
        headers: { ...conversation.headers, ...request.headers },
        signal: deadline.signal,
        onRequest: deadline.whileAsking(request.onRequest),
      });
    } catch (failure) {
      throw deadline.reason() ?? failure;
    } finally {
      deadline.clear();
      forget();
      admission?.release();
    }
  }

  async function list(request: BackendRequest): Promise<Reply> {
    const reply = await forward(request, server.declared.toolTimeoutMs, "rate");
    if ("error" in reply || (access.isUnrestricted && !hasFilters)) return reply;
    return { result: allowedOnly(request.method, reply.result, access, offered) };
  }

  async function serve(request: BackendRequest): Promise<Reply> {
    const { method, params } = request;
    if (method === "tools/call") return callTool(request);
    if (LISTS.has(method)) return list(request);
    assertAllowed(method, params, access);
    return forward(request, server.declared.toolTimeoutMs, USES.has(method) ? "use" : "rate");
  }

  const isFiltered = (tool: string) => hasFilters && deps.isFiltered(server.declared, tool);

  /** The Tool object as this gateway can keep what it promises. */
  function offered(tool: string, element: JsonText): JsonText {
    return isFiltered(tool) ? withMembers(element, { outputSchema: undefined }) : element;
  }

  return {
    name: serverName,
    instructions: () => server.status().hello?.instructions,
    isOpen: () => known !== null,
    async useLogLevel(wanted) {
      level = wanted;
      if (known) await known.setLogLevel(wanted);
    },
    async hello(): Promise<ServerHello> {
      // Without a session nothing of its own is needed to say what the server is.
      if (conversation.shared) return (await server.catalog(conversation)).hello;
      return (await link()).hello;
    },

    request: (request) =>
      deps.observe ? deps.observe({ caller, server: serverName }, request, serve) : serve(request),

    async notify(method, params) {
      await (await link()).notify(method, params);
    },

    async setLogLevel(wanted) {
      level = wanted;
      known = await server.lease(conversation);
      if (events) known.listen(events);
      return known.setLogLevel(wanted);
    },

    watch(filter, onNotification): Watch {
      return watchServer({ server, link, filter: onlyAllowed(filter, access), onNotification });
    },

    listen(heard) {
      events = heard;
      known?.listen(heard);
    },

    async catalog() {
      const all = await server.catalog(conversation);
      if (access.isUnrestricted && !hasFilters) return all;
      return {
        ...all,
        tools: all.tools
          .filter(({ name, readOnlyHint }) => access.allowsTool(name, { readOnly: readOnlyHint }))
          .map((tool) => (isFiltered(tool.name) ? { ...tool, json: offered(tool.name, tool.json) } : tool)),
        prompts: all.prompts.filter(({ name }) => access.allowsPrompt(name)),
        resources: all.resources.filter(({ uri }) => access.allowsResource(uri)),
        templates: all.templates.filter(({ uriTemplate }) => access.allowsResource(uriTemplate)),
      };
    },

    async close() {
      if (conversation.shared) return;
      deps.ended(conversation);
      await server.release(conversation.key);
    },
  };
}

const LISTS: ReadonlySet<string> = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
]);

/** What takes one of a key's uses, besides tool calls; anything else is only counted in its rate. */
const USES: ReadonlySet<string> = new Set(["prompts/get", "resources/read"]);

/** The same answer for what is not there and what is not allowed. @throws GatewayError */
function assertAllowed(method: string, params: JsonText | undefined, access: ServerAccess): void {
  if (access.isUnrestricted) return;
  const named = NAMED[method];
  if (named) {
    const name = stringValue(params && memberText(params, named.member)) ?? "";
    if (!(named.kind === "prompt" ? access.allowsPrompt(name) : access.allowsResource(name)))
      throw new GatewayError("mcp.tool_not_allowed", { message: `this ${named.kind} is not allowed` });
  } else if (method === "completion/complete") {
    const ref = (params && memberText(params, "ref")) ?? "{}";
    const prompt = stringValue(memberText(ref, "name"));
    const uri = stringValue(memberText(ref, "uri"));
    // Which of the two a server reads is its own affair: with both, both must be allowed.
    const isAllowed =
      (prompt !== undefined || uri !== undefined) &&
      (prompt === undefined || access.allowsPrompt(prompt)) &&
      (uri === undefined || access.allowsResource(uri));
    if (!isAllowed) throw new GatewayError("mcp.tool_not_allowed", { message: "this reference is not allowed" });
  } else if (!ALWAYS.has(method)) {
    // A method that nobody here knows may do anything: only for callers whom nothing is forbidden.
    throw new GatewayError("mcp.tool_not_allowed", { message: "this method is not allowed for this caller" });
  }
}

const ALWAYS: ReadonlySet<string> = new Set(["ping", "server/discover"]);

function allowedOnly(
  method: string,
  result: JsonText,
  access: ServerAccess,
  offered: (tool: string, element: JsonText) => JsonText,
): JsonText {
  switch (method) {
    case "tools/list":
      return filterList(result, "tools", "name", (name, element) => {
        const readOnly = memberText(memberText(element, "annotations") ?? "{}", "readOnlyHint") === "true";
        return access.allowsTool(name, { readOnly }) ? offered(name, element) : undefined;
      });
    case "prompts/list":
      return filterList(result, "prompts", "name", (name, element) =>
        access.allowsPrompt(name) ? element : undefined,
      );
    case "resources/list":
      return filterList(result, "resources", "uri", (uri, element) =>
        access.allowsResource(uri) ? element : undefined,
      );
    default:
      return filterList(result, "resourceTemplates", "uriTemplate", (uri, element) =>
        access.allowsResource(uri) ? element : undefined,
      );
  }
}

function onlyAllowed(filter: WatchFilter, access: ServerAccess): WatchFilter {
  if (access.isUnrestricted) return filter;
  return { ...filter, resourceUris: filter.resourceUris.filter((uri) => access.allowsResource(uri)) };
}
