import { GatewayError } from "../core/errors.ts";
import { RPC } from "../jsonrpc/codes.ts";
import { elements, type JsonText, memberText, stringValue } from "../jsonrpc/json-slice.ts";
import { errorReply } from "../jsonrpc/message.ts";
import type { ClientFacts, Link } from "../mcp-links/types.ts";
import type { CacheHint } from "./types.ts";

/** For whom a list is read. */
export interface ListReader {
  readonly link: Link;
  readonly client: ClientFacts;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export interface ReadList {
  readonly items: readonly JsonText[];
  /** Of the first page. */
  readonly hint: CacheHint | null;
}

const MAX_PAGES = 100;
const MAX_ITEMS = 10_000;
/** UTF-16 units of all elements of one list. The largest known server lists a few hundred KiB. */
const MAX_CHARS = 8 * 1024 * 1024;

/**
 * All pages of a list. A server that announced the list and does not know its method has an empty one.
 *
 * @throws GatewayError `upstream.protocol` for an error, no array, or a cursor that occurs twice; `upstream.too_large` above
 *   100 pages, 10,000 elements or 8 Mi characters; what the link throws
 */
export async function readList(reader: ListReader, method: string, member: string): Promise<ReadList> {
  const { link, client, headers, signal } = reader;
  const items: JsonText[] = [];
  const cursors = new Set<string>();
  let hint: CacheHint | null = null;
  let chars = 0;
  let cursor: JsonText | undefined;
  for (let page = 0; ; page++) {
    if (page === MAX_PAGES) throw tooLarge(link, method, `${MAX_PAGES} pages`);
    const reply = await link.request({
      method,
      params: cursor === undefined ? undefined : `{"cursor":${cursor}}`,
      client,
      headers,
      signal,
      onNotification: () => {},
      onRequest: async () => errorReply(RPC.methodNotFound, "Method not found"),
      passInputRequired: false,
    });
    if ("error" in reply) {
      if (page === 0 && memberText(reply.error, "code") === String(RPC.methodNotFound)) return { items, hint };
      throw protocol(link, method, `error ${memberText(reply.error, "code")?.slice(0, 20)}`);
    }
    const list = memberText(reply.result, member);
    if (list === undefined || !list.startsWith("[")) throw protocol(link, method, `no array ${member}`);
    if (page === 0) hint = readHint(reply.result);
    for (const { start, end } of elements(list)) {
      chars += end - start;
      if (chars > MAX_CHARS) throw tooLarge(link, method, `${MAX_CHARS} characters`);
      if (items.length === MAX_ITEMS) throw tooLarge(link, method, `${MAX_ITEMS} elements`);
      items.push(list.slice(start, end));
    }
    cursor = memberText(reply.result, "nextCursor");
    if (cursor === undefined || cursor === "null") return { items: ownCopies(items), hint };
    if (stringValue(cursor) === undefined) throw protocol(link, method, "a cursor that is no string");
    if (cursors.has(cursor)) throw protocol(link, method, "the same cursor twice");
    cursors.add(cursor);
  }
}

/** Slices keep the whole answer alive, which a server may have padded to the limit of a message. */
function ownCopies(items: readonly JsonText[]): readonly JsonText[] {
  return items.map((item) => Buffer.from(item).toString());
}

function readHint(result: JsonText): CacheHint | null {
  const ttlMs = memberText(result, "ttlMs");
  const scope = stringValue(memberText(result, "cacheScope"));
  if (ttlMs === undefined && scope === undefined) return null;
  // SEP-2549: without a scope, private; without a time, stale at once.
  return {
    ttlMs: /^\d{1,15}$/.test(ttlMs ?? "") ? Number(ttlMs) : 0,
    scope: scope === "public" ? "public" : "private",
  };
}

function protocol(link: Link, method: string, what: string): GatewayError {
  return new GatewayError("upstream.protocol", {
    message: `the MCP server ${link.server} did not answer ${method} as MCP asks for`,
    detail: `${link.server} answered ${method} with ${what}`,
  });
}

function tooLarge(link: Link, method: string, limit: string): GatewayError {
  return new GatewayError("upstream.too_large", {
    message: `the MCP server ${link.server} answered ${method} with more than ${limit}`,
  });
}
