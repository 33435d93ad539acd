import { GatewayError } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import type { ExchangeEvents, ServerHello, ServerNotification, Watch, WatchFilter } from "../../mcp-links/types.ts";
import type { Catalog } from "../../mcp-servers/types.ts";
import type { Backend, BackendRequest } from "../backend.ts";
import type { BuiltIn } from "../built-in/built-in.ts";
import type { ServerBackend } from "./server-backend.ts";
import {
  readUnifiedName,
  readUnifiedUri,
  type ServersOwn,
  unifiedName,
  unifiedUri,
  withUnifiedUris,
} from "./unified-names.ts";

export interface UnifiedParts {
  /** One for each server that the caller may use, in the order of the configuration. Nothing is opened by making it. */
  readonly servers: readonly ServerBackend[];
  readonly builtIn: BuiltIn;
  readonly names: UnifiedNames;
  readonly log: Logger;
  /** A server whose lists are not there by then is left out; a list_changed follows when they are. */
  readonly listTimeoutMs: number;
}

/** What the elements of catalogs are called here. */
export interface UnifiedNames {
  named(server: string, element: { readonly name: string; readonly json: JsonText }): JsonText;
  located(server: string, element: { readonly uri: string; readonly json: JsonText }): JsonText;
  templated(server: string, element: { readonly uriTemplate: string; readonly json: JsonText }): JsonText;
}

/** Catalogs are kept for long and asked for often: each element is renamed once. */
export function createUnifiedNames(): UnifiedNames {
  const texts = new WeakMap<object, JsonText>();
  const renamed = (element: { readonly json: JsonText }, member: string, value: string): JsonText => {
    let text = texts.get(element);
    if (text === undefined) texts.set(element, (text = withMembers(element.json, { [member]: JSON.stringify(value) })));
    return text;
  };
  return {
    named: (server, element) => renamed(element, "name", unifiedName(server, element.name)),
    located: (server, element) => renamed(element, "uri", unifiedUri(server, element.uri)),
    templated: (server, element) => renamed(element, "uriTemplate", unifiedUri(server, element.uriTemplate)),
  };
}

/** Characters of one server's instructions among those of all. */
const MAX_INSTRUCTIONS = 4_096;

/** What all servers together can do; each answers for itself when it is asked. */
const CAPABILITIES =
  '{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},' +
  '"completions":{},"logging":{}}';

/**
 * All servers of a caller as one, with the gateway's own tools: `server___tool`, `server___prompt`,
 * `bifrost://server/uri`, and the built-in tools by their bare names. A dead or slow server is missing from the lists, and
 * nothing else.
 */
export function createUnifiedBackend({ servers, builtIn, names, log, listTimeoutMs }: UnifiedParts): Backend {
  const byName = new Map(servers.map((server) => [server.name, server]));

  function serverOf(own: ServersOwn | null): ServerBackend | null {
    return (own && byName.get(own.server)) ?? null;
  }

  /** The lists of every server that answers in time. */
  async function catalogs(): Promise<{ server: ServerBackend; catalog: Catalog }[]> {
    const answers = await Promise.all(
      servers.map(async (server) => {
        try {
          const catalog = await inTime(server.catalog(), listTimeoutMs);
          return catalog ? [{ server, catalog }] : [];
        } catch (failure) {
          const code = failure instanceof GatewayError ? failure.code : "internal";
          log.debug({ server: server.name, code }, "left out of a unified list");
          return [];
        }
      }),
    );
    return answers.flat();
  }

  async function list(request: BackendRequest): Promise<Reply> {
    const { method, params } = request;
    if (params !== undefined && memberText(params, "cursor") !== undefined)
      return errorReply(RPC.invalidParams, "cursor was not issued here: there is a single page");
    if (servers.length === 0) return builtIn.list(request);
    const found = await catalogs();
    const texts = (of: (catalog: Catalog, server: string) => readonly JsonText[]) =>
      found.flatMap(({ server, catalog }) => of(catalog, server.name));
    switch (method) {
      case "tools/list":
        return page("tools", [
          ...builtIn.tools(),
          ...texts(({ tools }, server) => tools.map((tool) => names.named(server, tool))),
        ]);
      case "prompts/list":
        return page(
          "prompts",
          texts(({ prompts }, server) => prompts.map((prompt) => names.named(server, prompt))),
        );
      case "resources/list":
        return page(
          "resources",
          texts(({ resources }, server) => resources.map((resource) => names.located(server, resource))),
        );
      default:
        return page(
          "resourceTemplates",
          texts(({ templates }, server) => templates.map((one) => names.templated(server, one))),
        );
    }
  }

  async function call(request: BackendRequest): Promise<Reply> {
    const name = stringValue(request.params && memberText(request.params, "name"));
    if (name === undefined) return errorReply(RPC.invalidParams, "name must be a string");
    const own = readUnifiedName(name);
    if (!own) return builtIn.call(name, request.params);
    const server = serverOf(own);
    if (!server) throw new GatewayError("mcp.tool_not_allowed");
    return ask(server, { ...request, params: withMembers(request.params ?? "{}", { name: JSON.stringify(own.name) }) });
  }

  async function prompt(request: BackendRequest): Promise<Reply> {
    const own = readUnifiedName(stringValue(request.params && memberText(request.params, "name")) ?? "");
    const server = serverOf(own);
    if (!own || !server) return errorReply(RPC.invalidParams, "Unknown prompt");
    return ask(server, { ...request, params: withMembers(request.params ?? "{}", { name: JSON.stringify(own.name) }) });
  }

  async function resource(request: BackendRequest): Promise<Reply> {
    const uri = stringValue(request.params && memberText(request.params, "uri"));
    const own = uri === undefined ? null : readUnifiedUri(uri);
    const server = serverOf(own);
    if (!own || !server) return unknownResource(request, uri);
    return ask(server, { ...request, params: withMembers(request.params ?? "{}", { uri: JSON.stringify(own.name) }) });
  }

  async function complete(request: BackendRequest): Promise<Reply> {
    const ref = memberText(request.params ?? "{}", "ref") ?? "{}";
    const name = stringValue(memberText(ref, "name"));
    const uri = stringValue(memberText(ref, "uri"));
    const own = name === undefined ? readUnifiedUri(uri ?? "") : readUnifiedName(name);
    const server = serverOf(own);
    if (!own || !server) return errorReply(RPC.invalidParams, "ref names no prompt or resource template");
    const changed = withMembers(ref, { [name === undefined ? "uri" : "name"]: JSON.stringify(own.name) });
    return ask(server, { ...request, params: withMembers(request.params ?? "{}", { ref: changed }) });
  }

  async function ask(server: ServerBackend, request: BackendRequest): Promise<Reply> {
    const reply = await server.request(request);
    return "error" in reply ? reply : { result: withUnifiedUris(server.name, reply.result) };
  }

  return {
    hello(): Promise<ServerHello> {
      if (servers.length === 0) return Promise.resolve(builtIn.hello);
      return Promise.resolve({
        ...builtIn.hello,
        capabilities: CAPABILITIES,
        instructions: allInstructions(builtIn.hello.instructions, servers),
      });
    },

    request(request) {
      switch (request.method) {
        case "tools/list":
          return list(request);
        case "prompts/list":
        case "resources/list":
        case "resources/templates/list":
          return servers.length === 0 ? notFound(request.method) : list(request);
        case "tools/call":
          return call(request);
        case "prompts/get":
          return servers.length === 0 ? notFound(request.method) : prompt(request);
        case "resources/read":
          return servers.length === 0 ? notFound(request.method) : resource(request);
        case "completion/complete":
          return servers.length === 0 ? notFound(request.method) : complete(request);
        default:
          return notFound(request.method);
      }
    },

    async notify(method, params) {
      await Promise.all(servers.filter((server) => server.isOpen()).map((server) => server.notify(method, params)));
    },

    async setLogLevel(level) {
      if (servers.length === 0) return notFound("logging/setLevel");
      // A server without logging, or one that is down, does not keep the others from it.
      await Promise.allSettled(servers.map((server) => server.useLogLevel(level)));
      return { result: "{}" };
    },

    watch: (filter, onNotification) => watchAll(servers, filter, onNotification),

    listen(events: ExchangeEvents) {
      for (const server of servers) server.listen(events);
    },

    async close() {
      await Promise.all(servers.map((server) => server.close()));
    },
  };
}

/** The gateway's own, then each server's under its name. They end up in a model's context, so each is cut. */
function allInstructions(own: string | undefined, servers: readonly ServerBackend[]): string {
  const others = servers.flatMap((server) => {
    const text = server.instructions();
    return text ? [`Tools ${unifiedName(server.name, "*")}: ${text.slice(0, MAX_INSTRUCTIONS)}`] : [];
  });
  return [own ?? "", ...others].join("\n\n");
}

function unknownResource({ passInputRequired }: BackendRequest, uri: string | undefined): Reply {
  if (uri === undefined) return errorReply(RPC.invalidParams, "uri must be a string");
  // Revision 2026-07-28 gave up the code of its own.
  return errorReply(passInputRequired ? RPC.invalidParams : RPC.resourceNotFound, "Resource not found", { uri });
}

function notFound(method: string): Promise<Reply> {
  return Promise.resolve(errorReply(RPC.methodNotFound, `Method not found: ${method.slice(0, 64)}`));
}

function page(name: string, texts: readonly JsonText[]): Reply {
  return { result: `{"${name}":[${texts.join(",")}]}` };
}

/** One watch over the changes at all servers; each is asked only for its own resources. */
function watchAll(
  servers: readonly ServerBackend[],
  filter: WatchFilter,
  onNotification: (notification: ServerNotification) => void,
): Watch {
  const watches = servers.map((server) => ({
    server,
    watch: server.watch(filterFor(server.name, filter), ({ method, params }) => {
      const uri = params && stringValue(memberText(params, "uri"));
      if (params === undefined || uri === undefined) return onNotification({ method, params });
      onNotification({ method, params: withMembers(params, { uri: JSON.stringify(unifiedUri(server.name, uri)) }) });
    }),
  }));
  return {
    granted: Promise.all(
      watches.map(async ({ server, watch }) => {
        const { resourceUris } = await watch.granted.catch(() => ({ resourceUris: [] }));
        return resourceUris.map((uri) => unifiedUri(server.name, uri));
      }),
    ).then((uris) => ({ ...filter, resourceUris: uris.flat() })),
    async change(next) {
      await Promise.all(watches.map(({ server, watch }) => watch.change(filterFor(server.name, next))));
    },
    close() {
      for (const { watch } of watches) watch.close();
    },
  };
}

function filterFor(server: string, filter: WatchFilter): WatchFilter {
  const own = filter.resourceUris.map(readUnifiedUri).filter((uri) => uri?.server === server);
  return { ...filter, resourceUris: own.map((uri) => uri?.name ?? "") };
}

/** Null when it takes longer. */
async function inTime<T>(promise: Promise<T>, timeoutMs: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
