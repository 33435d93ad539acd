import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, memberText, members, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";

/** Methods whose results say how long they hold (2026-07-28, Caching). */
const CACHEABLE: ReadonlySet<string> = new Set([
  "server/discover",
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "resources/read",
]);

/**
 * A reply in the vocabulary of 2026-07-28: `resultType`, and on what may be cached `ttlMs` and `cacheScope`, are added where
 * a server of an earlier revision does not send them; "resource not found" has another code. Everything else stays as it is.
 */
export function modernReply(method: string, reply: Reply): Reply {
  if ("error" in reply) {
    const missing = memberText(reply.error, "code") === String(RPC.resourceNotFound);
    return missing ? { error: withMembers(reply.error, { code: String(RPC.invalidParams) }) } : reply;
  }
  const { result } = reply;
  if (!result.startsWith("{")) return reply;
  const wanted = CACHEABLE.has(method) ? ["resultType", "ttlMs", "cacheScope"] : ["resultType"];
  // Most results mention none of the names, and need not be read member by member.
  const absent = wanted.filter((name) => !result.includes(`"${name}"`));
  const doubtful = absent.length < wanted.length;
  const present = doubtful ? new Set(members(result).map(({ name }) => name)) : null;
  const added = wanted.filter((name) => !present?.has(name));
  if (added.length === 0) return reply;
  // Only what is complete can be cached.
  if (present?.has("resultType") && stringValue(memberText(result, "resultType")) !== "complete") return reply;
  return { result: withFirst(result, added.map((name) => DEFAULTS[name] ?? "").join(",")) };
}

/** Stale at once, and nobody else's: what is true of every answer of a server that does not say. */
const DEFAULTS: Readonly<Record<string, JsonText>> = {
  resultType: '"resultType":"complete"',
  ttlMs: '"ttlMs":0',
  cacheScope: '"cacheScope":"private"',
};

function withFirst(object: JsonText, addition: JsonText): JsonText {
  const rest = object.slice(1);
  return rest.trimStart().startsWith("}") ? `{${addition}}` : `{${addition},${rest}`;
}

const STATUS: ReadonlyMap<string, number> = new Map([
  [String(RPC.methodNotFound), 404],
  [String(RPC.headerMismatch), 400],
  [String(RPC.missingClientCapability), 400],
  [String(RPC.unsupportedProtocolVersion), 400],
]);

/**
 * The HTTP status of a reply (2026-07-28, Streamable HTTP): an unknown method is 404; a header that contradicts the body, a
 * missing client capability and an unknown revision are 400; every other error is 200, like a result.
 */
export function statusOf(reply: Reply): number {
  return "error" in reply ? (STATUS.get(memberText(reply.error, "code") ?? "") ?? 200) : 200;
}
