import type { IncomingHttpHeaders } from "node:http";
import { BoundedMap } from "../../core/bounded-map.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import { createToolHeaders, type ToolHeaders } from "../../mcp-links/eras/tool-headers.ts";
import { decodeHeader } from "./header-value.ts";

/** Callers and targets whose tools are remembered; only those with tools that want arguments in headers count. */
const MAX_SCOPES = 1_000;

const ANNOTATION = "x-mcp-header";

/**
 * Holds clients to what the tools say that they listed (2026-07-28, Streamable HTTP, `x-mcp-header`): an argument that a tool
 * wants in a header is there, and says the same as the body. What stands between may act on the header. Nobody who never
 * listed the tools here is checked: the server is told by the link in any case, from the body.
 */
export function createHeaderArguments() {
  const scopes = new BoundedMap<string, ToolHeaders>(MAX_SCOPES);

  return {
    /** A result of `tools/list`, for whom (caller and target) it was. */
    learn(scope: string, result: JsonText): void {
      const known = scopes.get(scope);
      if (known) return known.learn(result);
      if (!result.includes(ANNOTATION)) return;
      const tools = createToolHeaders();
      tools.learn(result);
      scopes.set(scope, tools);
    },

    /** Why a `tools/call` is refused, or null. */
    check(scope: string, headers: IncomingHttpHeaders, params: JsonText | undefined): Reply | null {
      if (scopes.size === 0) return null;
      const expected = scopes.peek(scope)?.headersFor(params);
      if (!expected) return null;
      for (const [name, value] of Object.entries(expected)) {
        const header = headers[name];
        const sent = typeof header === "string" ? decodeHeader(header) : undefined;
        if (sent === undefined || !isSame(sent, decodeHeader(value)))
          return errorReply(RPC.headerMismatch, `The request's headers and body disagree: ${name}`, {
            mismatch: { header: name },
          });
      }
      return null;
    },
  };
}

/** Integers may be written with a fraction of zeros: 42.0 is 42. */
function isSame(sent: string, expected: string | undefined): boolean {
  return sent === expected || (/^-?\d+\.0+$/.test(sent) && sent.slice(0, sent.indexOf(".")) === expected);
}
