import type { CallToolResult, Tool as ToolDefinition, ToolAnnotations } from "@modelcontextprotocol/server";
import { z } from "zod";
import { mayOwnKeys, type Principal } from "../../access/principal.ts";
import { parseArguments } from "../parse-arguments.ts";
import type { Caller, McpDeps } from "../types.ts";

/** A tool of the gateway itself, ready to be listed and called. */
export interface BuiltInTool {
  readonly definition: ToolDefinition;
  /** What is not allowed is not listed. The call itself decides again. */
  readonly isOffered: (principal: Principal) => boolean;
  /**
   * @throws ProtocolError -32602 naming the argument that is missing, unknown or out of range
   * @throws GatewayError for everything the gateway refuses
   */
  readonly call: (deps: McpDeps, caller: Caller, args: unknown) => Promise<CallToolResult>;
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
    definition: {
      name: spec.name,
      title: spec.title,
      description: spec.description,
      inputSchema: toJsonSchema(spec.input),
      outputSchema: toJsonSchema(spec.output),
      annotations: spec.annotations,
    },
    isOffered: spec.isOffered,
    async call(deps, caller, args) {
      const input = parseArguments(spec.input, args);
      const structuredContent = await spec.run(deps, caller, input);
      // The text is for clients from before structured results (MCP 2025-06-18, Tools, Structured Content).
      return { content: [{ type: "text", text: JSON.stringify(structuredContent) }], structuredContent };
    },
  };
}

/** What goes over the wire: a member with a default may be left out of arguments, and results have no defaults. */
function toJsonSchema(schema: z.ZodObject): ToolDefinition["inputSchema"] {
  const plain: ToolDefinition["inputSchema"] = JSON.parse(JSON.stringify(z.toJSONSchema(schema, { io: "input" })));
  return plain;
}

/** For tools that every caller with keys may see: whoever has none reaches no service, and would see empty lists only. */
export function whoeverHasKeys(principal: Principal): boolean {
  return principal.kind === "virtual_key" || mayOwnKeys(principal);
}
