import { ERRORS, type ErrorCode, type GatewayError, toGatewayError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { RPC } from "../jsonrpc/codes.ts";
import { errorReply, type Reply } from "../jsonrpc/message.ts";

/** The answer to a request that the gateway did not serve. */
export interface Refusal {
  readonly reply: Reply;
  /**
   * 200 where the refusal is about the call: some clients take any other status for a broken connection. Else what the
   * caller, its credential or its path must change before any request can pass.
   */
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** Not about one call: the answer has the HTTP status of the error, and never the form of a tool's result. */
const ABOUT_THE_CONNECTION: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "gateway.draining",
  "mcp.server_not_found",
  "mcp.session_not_found",
  "mcp.sessions_exhausted",
]);

/**
 * How both eras answer a request that the backend threw for. Of `tools/call`:
 * - an unknown tool (which one that is not allowed is, for this caller) and arguments that are no good are JSON-RPC errors
 *   -32602, as the specification has it (Tools, Error Handling);
 * - what the gateway refuses for another reason is a result with `isError`, so that the model reads it and what to do;
 * - what the gateway or an upstream failed at is a JSON-RPC error with a stable `data.code`: programs must see it.
 *
 * Every other method gets a JSON-RPC error. Whatever is no GatewayError is -32603 that says nothing but the request id; its
 * cause goes to the log. Never throws.
 */
export function refusalOf(
  thrown: unknown,
  request: { readonly method: string; readonly requestId: string; readonly log: Pick<Logger, "error"> },
): Refusal {
  const { method, requestId, log } = request;
  const error = toGatewayError(thrown);
  if (error.code === "internal") log.error({ err: thrown, requestId }, "MCP request failed");
  const status = ABOUT_THE_CONNECTION.has(error.code) || error.status === 401 ? error.status : 200;
  const headers = { ...error.headers };
  // RFC 6750 §3: a 401 says how to authenticate.
  if (status === 401) headers["www-authenticate"] ??= 'Bearer realm="bifrost"';
  const reply = method === "tools/call" && status === 200 ? toolReply(error, requestId) : rpcReply(error, requestId);
  return { reply, status, headers };
}

function toolReply(error: GatewayError, requestId: string): Reply {
  const problems = argumentProblems(error);
  if (problems.length > 0) {
    const message = problems.map(({ argument, problem }) => `${argument}: ${problem}`).join("; ");
    return errorReply(RPC.invalidParams, `Invalid arguments: ${message}`, { arguments: problems });
  }
  if (isFailure(error) || error.code === "mcp.tool_not_allowed") return rpcReply(error, requestId);
  const text = `${error.publicMessage} (${error.code}). ${ERRORS[error.code].remedy}`;
  return { result: JSON.stringify({ isError: true, content: [{ type: "text", text }] }) };
}

/** Something broke, in contrast to a decision. */
function isFailure({ code }: GatewayError): boolean {
  return code === "internal" || code.startsWith("upstream.");
}

/** Only of refusals that are about the arguments; their paths are the tool's arguments. */
function argumentProblems({ code, fields }: GatewayError): { argument: string; problem: string }[] {
  if (ERRORS[code].rpc !== RPC.invalidParams && code !== "service.not_found") return [];
  return fields.map(({ path, message }) => ({ argument: path, problem: message }));
}

function rpcReply({ code, publicMessage }: GatewayError, requestId: string): Reply {
  return errorReply(ERRORS[code].rpc, publicMessage, { code, request_id: requestId });
}
