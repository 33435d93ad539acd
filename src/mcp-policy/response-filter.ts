import { GatewayError } from "../core/errors.ts";
import { type JsonText, memberText, elements } from "../jsonrpc/json-slice.ts";
import { createJqRunner, JQ_LIMITS, JqFailed, type JqLimits } from "./jq/run-jq.ts";
import { contentTexts, isErrorResult, isInputRequired } from "./tool-result.ts";

/** The `tool_response_filters` of one server. Each server has its own thread, so that one cannot hold up another. */
export interface ResponseFilters {
  /**
   * Whether results of this tool are filtered. Such a tool must be listed without `outputSchema`: what the filter leaves
   * need not match it, and strict clients would refuse it.
   */
  has(tool: string): boolean;
  /**
   * The filtered result: the program gets the first text that is JSON, else the whole result, and its value takes the
   * place of everything in the result. Given the whole result, a program may return a whole result. Errors of tools, and
   * what asks the client for something, are not filtered. A tool without filter costs one look-up.
   *
   * @throws GatewayError `mcp.filter_failed`; never returns what was not filtered
   */
  apply(tool: string, result: JsonText): JsonText | Promise<JsonText>;
  /** Programs that jq cannot compile, for the operator, at start. */
  check(): Promise<readonly { readonly tool: string; readonly problem: string }[]>;
  close(): Promise<void>;
}

/** @param programs jq by tool name; with none, nothing is ever started */
export function createResponseFilters(
  programs: Readonly<Record<string, string>>,
  limits: JqLimits = JQ_LIMITS,
): ResponseFilters {
  const byTool = new Map(Object.entries(programs));
  const jq = createJqRunner(limits);

  async function filter(tool: string, program: string, result: JsonText): Promise<JsonText> {
    const [text] = contentTexts(result);
    const isData = text !== undefined && isJson(text);
    try {
      const value = await jq.run(program, isData ? text : result);
      return !isData && isResult(value)
        ? value
        : asResult(value, memberText(result, "structuredContent") !== undefined);
    } catch (error) {
      if (!(error instanceof JqFailed)) throw error;
      throw new GatewayError("mcp.filter_failed", { detail: `filter of ${tool}: ${error.message}`, cause: error });
    }
  }

  return {
    has: (tool) => byTool.has(tool),
    apply(tool, result) {
      const program = byTool.get(tool);
      if (program === undefined || isErrorResult(result) || isInputRequired(result)) return result;
      return filter(tool, program, result);
    },
    async check() {
      const checked = [...byTool].map(async ([tool, program]) => {
        const problem = await jq.check(program).catch((error: Error) => error.message);
        return problem === null ? [] : [{ tool, problem }];
      });
      return (await Promise.all(checked)).flat();
    },
    close: () => jq.close(),
  };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Whether a value has the content of a `tools/call` result. */
function isResult(value: JsonText): boolean {
  const content = memberText(value, "content");
  return content?.startsWith("[") === true && elements(content).every(({ start }) => content[start] === "{");
}

/** Only what came out of the filter: other items, structured content and metadata may hold what it took away. */
function asResult(value: JsonText, isStructured: boolean): JsonText {
  const structured = isStructured && value.startsWith("{") ? `,"structuredContent":${value}` : "";
  return `{"content":[{"type":"text","text":${JSON.stringify(value)}}]${structured}}`;
}
