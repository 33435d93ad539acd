import { GatewayError } from "../../core/errors.ts";
import { type JsonText, memberText, stringValue } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import { type ClientFacts, REVISIONS_2025, type ServerHello } from "../types.ts";

/** The params of `initialize`: the client's own, and the newest revision of its era. */
export function initializeParams(client: ClientFacts, gatewayInfo: JsonText): JsonText {
  const info = client.info ?? gatewayInfo;
  return `{"protocolVersion":"${REVISIONS_2025[0]}","capabilities":${client.capabilities},"clientInfo":${info}}`;
}

/**
 * What the server said of itself.
 *
 * @throws GatewayError `upstream.protocol`: it answered an error, or with a revision that the gateway does not speak
 */
export function readInitializeResult(reply: Reply): ServerHello {
  if ("error" in reply) {
    const code = memberText(reply.error, "code") ?? "none";
    throw refused("the MCP server refused `initialize`", `error ${code}: ${memberText(reply.error, "message")}`);
  }
  const { result } = reply;
  const revision = stringValue(memberText(result, "protocolVersion"));
  if (revision === undefined || !REVISIONS_2025.some((known) => known === revision)) {
    throw refused("the MCP server speaks no protocol revision that the gateway speaks", `it answered ${revision}`);
  }
  const capabilities = memberText(result, "capabilities");
  return {
    revision,
    // Required, but servers that leave it out are served by other clients too: they have no capability then.
    capabilities: capabilities?.startsWith("{") ? capabilities : "{}",
    info: memberText(result, "serverInfo") ?? null,
    instructions: stringValue(memberText(result, "instructions")),
  };
}

function refused(message: string, detail: string): GatewayError {
  return new GatewayError("upstream.protocol", { message, detail: `${message}: ${detail}` });
}
