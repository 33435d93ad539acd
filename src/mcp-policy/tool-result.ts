import { elements, type JsonText, members, memberText, stringValue } from "../jsonrpc/json-slice.ts";

/** Whether a `tools/call` result reports an error of the tool. Costs one search where it does not. */
export function isErrorResult(result: JsonText): boolean {
  return result.includes('"isError"') && memberText(result, "isError") === "true";
}

/** Whether a 2026-07-28 result asks the client for something and has no output yet. */
export function isInputRequired(result: JsonText): boolean {
  return result.includes('"input_required"') && stringValue(memberText(result, "resultType")) === "input_required";
}

/** The texts of a result's content, in order. */
export function contentTexts(result: JsonText): string[] {
  const content = memberText(result, "content");
  if (content === undefined) return [];
  return elements(content).flatMap(({ start, end }) => textOf(content.slice(start, end)) ?? []);
}

/** How many items a result's content has. */
export function contentLength(result: JsonText): number {
  return elements(memberText(result, "content") ?? "").length;
}

function textOf(item: JsonText): string | undefined {
  const found = members(item);
  const valueOf = (name: string): string | undefined => {
    const member = found.find((one) => one.name === name);
    return member && stringValue(item.slice(member.start, member.end));
  };
  return valueOf("type") === "text" ? valueOf("text") : undefined;
}
