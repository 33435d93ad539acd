import { type CallToolResult, ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";
import { ERRORS, type GatewayError, toGatewayError } from "../core/errors.ts";
import { type ArgumentProblem, invalidArguments } from "./parse-arguments.ts";
import type { BuiltInTool } from "./tools/tool.ts";
import type { Caller, McpDeps } from "./types.ts";

/**
 * Runs one tool. What the caller got wrong in its arguments is a JSON-RPC error -32602; what the gateway refuses for
 * another reason is a result with `isError`, so that the model reads it; what the gateway got wrong is -32603 and nothing
 * but a request id.
 *
 * @throws ProtocolError, and nothing else: the SDK would send any other error's own text
 */
export async function callTool(
  tools: readonly BuiltInTool[],
  deps: McpDeps,
  caller: Caller,
  request: { readonly name: string; readonly arguments?: unknown },
): Promise<CallToolResult> {
  const tool = tools.find(({ definition }) => definition.name === request.name);
  if (!tool) {
    const known = tools.filter(({ isOffered }) => isOffered(caller.principal)).map(({ definition }) => definition.name);
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Unknown tool: name must be one of ${known.join(", ")}`);
  }
  try {
    return await tool.call(deps, caller, request.arguments);
  } catch (thrown) {
    if (thrown instanceof ProtocolError) throw thrown;
    const error = toGatewayError(thrown);
    if (error.status === 500) throw internalError(deps, caller, thrown);
    const problems = argumentProblems(error);
    if (problems.length > 0) throw invalidArguments(problems);
    return refusal(error);
  }
}

/** -32603 that says nothing but the request id; the cause goes to the log. */
export function internalError(deps: McpDeps, caller: Caller, thrown: unknown): ProtocolError {
  const { requestId } = caller.context;
  deps.log.error({ err: thrown, requestId }, "MCP request failed");
  return new ProtocolError(ProtocolErrorCode.InternalError, ERRORS.internal.title, {
    code: "internal",
    request_id: requestId,
  });
}

/** Only of refusals that are about the arguments; their paths are the tool's arguments. */
function argumentProblems({ code, fields }: GatewayError): ArgumentProblem[] {
  if (ERRORS[code].rpc !== ProtocolErrorCode.InvalidParams && code !== "service.not_found") return [];
  return fields.map(({ path, message }) => ({ argument: path, problem: message }));
}

function refusal(error: GatewayError): CallToolResult {
  const text = `${error.publicMessage} (${error.code}). ${ERRORS[error.code].remedy}`;
  return { isError: true, content: [{ type: "text", text }] };
}
