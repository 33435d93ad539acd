import { z } from "zod";
import { mayOwnKeys, type Principal } from "../../../access/principal.ts";
import type { JsonText } from "../../../jsonrpc/json-slice.ts";
import { parseArguments } from "../parse-arguments.ts";
import type { Caller, McpDeps } from "../../types.ts";

/** Hints for clients (MCP, Tools, ToolAnnotations). The two in the middle mean nothing for what is read-only. */
interface ToolAnnotations {
  readonly readOnlyHint: boolean;
  readonly destructiveHint?: boolean;
  readonly idempotentHint?: boolean;
  readonly openWorldHint: boolean;
}

/** A tool of the gateway itself, ready to be listed and called. */
export interface BuiltInTool {
  readonly name: string;
  /** The Tool object. */
  readonly definition: JsonText;
  /** What is not allowed is not listed. The call itself decides again. */
  readonly isOffered: (principal: Principal) => boolean;
  /**
   * The CallToolResult.
   *
   * @throws GatewayError `request.invalid` naming each argument that is missing, unknown or out of range, and whatever
   *   else the gateway refuses
   */
  readonly call: (deps: McpDeps, caller: Caller, args: unknown) => Promise<JsonText>;
}

interface ToolSpec<Input extends z.ZodObject, Output extends z.ZodObject> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly annotations: ToolAnnotations;
  /** Strict: an argument that is not named here is refused. */
  readonly input: Input;
  readonly output: Output;
  readonly isOffered: (principal: Principal) => boolean;
  readonly run: (deps: McpDeps, caller: Caller, input: z.output<Input>) => Promise<z.output<Output>>;
}

/** One zod object documents, validates and types the arguments; another types and documents the result. */
export function defineTool<Input extends z.ZodObject, Output extends z.ZodObject>(
  spec: ToolSpec<Input, Output>,
): BuiltInTool {
  return {
    name: spec.name,
    definition: JSON.stringify({
      name: spec.name,
      title: spec.title,
      description: spec.description,
      inputSchema: toJsonSchema(spec.input),
      outputSchema: toJsonSchema(spec.output),
      annotations: spec.annotations,
    }),
    isOffered: spec.isOffered,
    async call(deps, caller, args) {
      const input = parseArguments(spec.input, args);
      const structuredContent = await spec.run(deps, caller, input);
      // The text is for clients from before structured results (MCP 2025-06-18, Tools, Structured Content).
      const structured = JSON.stringify(structuredContent);
      return `{"content":[{"type":"text","text":${JSON.stringify(structured)}}],"structuredContent":${structured}}`;
    },
  };
}

/** What goes over the wire: a member with a default may be left out of arguments, and results have no defaults. */
function toJsonSchema(schema: z.ZodObject): unknown {
  return z.toJSONSchema(schema, { io: "input" });
}

/** For tools that every caller with keys may see: whoever has none reaches no service, and would see empty lists only. */
export function whoeverHasKeys(principal: Principal): boolean {
  return principal.kind === "virtual_key" || mayOwnKeys(principal);
}
