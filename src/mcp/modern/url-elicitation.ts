import { RPC } from "../../jsonrpc/codes.ts";
import { elements, type JsonText, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import type { ServerRequest } from "../../mcp-links/types.ts";

/**
 * What a server of revision 2025-11-25 wants its user to visit before it serves a request: the `elicitations` of its error
 * -32042, which 2026-07-28 has not. Null for every other reply.
 */
export function readUrlElicitations(reply: Reply): readonly ServerRequest[] | null {
  if (!("error" in reply) || memberText(reply.error, "code") !== String(RPC.urlElicitationRequired)) return null;
  const data = memberText(reply.error, "data") ?? "{}";
  const list = memberText(data, "elicitations") ?? "[]";
  const asked = elements(list).map(({ start, end }) => list.slice(start, end));
  return asked.every(isUrlElicitation)
    ? asked.map((params) => ({
        method: "elicitation/create",
        params: withMembers(params, { elicitationId: undefined }),
      }))
    : [];
}

function isUrlElicitation(text: JsonText): boolean {
  return stringValue(memberText(text, "mode")) === "url" && stringValue(memberText(text, "url")) !== undefined;
}

/** Whether the user agreed to visit the address. */
export function isAccepted(reply: Reply): boolean {
  return "result" in reply && stringValue(memberText(reply.result, "action")) === "accept";
}

/** For a client that did not declare it can be asked. */
export const URLS_NOT_DECLARED: Reply = errorReply(
  RPC.missingClientCapability,
  "The server needs the user to visit a URL, which this client did not declare it can ask",
  { requiredCapabilities: { elicitation: { url: {} } } },
);

/** For a user who would not. */
export const URL_DECLINED: Reply = errorReply(RPC.serverError, "The user did not visit the URL that the server needs");
