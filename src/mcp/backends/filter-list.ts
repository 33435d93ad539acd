import { elements, type JsonText, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";

/**
 * The result of a list with the elements that are kept, each as the server wrote it. `map` answers undefined for what is
 * left out. What is not an object with that member as a string is left out too: nobody could decide about it.
 */
export function filterList(
  result: JsonText,
  list: string,
  key: string,
  map: (name: string, element: JsonText) => JsonText | undefined,
): JsonText {
  const array = memberText(result, list);
  if (array === undefined) return result;
  const kept: JsonText[] = [];
  for (const { start, end } of elements(array)) {
    const element = array.slice(start, end);
    const name = stringValue(memberText(element, key));
    const mapped = name === undefined ? undefined : map(name, element);
    if (mapped !== undefined) kept.push(mapped);
  }
  return withMembers(result, { [list]: `[${kept.join(",")}]` });
}
