import { memberText } from "../jsonrpc/json-slice.ts";
import { readPrompts, readResources, readTemplates, readTools, type Usable } from "./catalog-entries.ts";
import { type ListReader, type ReadList, readList } from "./read-list.ts";
import type { Catalog, CatalogList, CatalogPart } from "./types.ts";

export const PARTS: readonly CatalogPart[] = ["tools", "prompts", "resources"];

/** A catalog with what only its keeper needs. */
export interface LoadedCatalog extends Catalog {
  readonly leftOutByList: Readonly<Record<CatalogList, number>>;
  /** UTF-16 units, about. */
  readonly chars: number;
}

/**
 * Reads the lists that the server's capabilities announce; those of `parts`, the others are taken from `known`. What is as
 * it was in `known` is the same array, so equal catalogs share their memory.
 *
 * @param httpHeaders see {@link readTools}
 * @throws GatewayError as {@link readList}
 */
export async function readCatalog(
  reader: ListReader,
  parts: ReadonlySet<CatalogPart>,
  known: LoadedCatalog | null,
  httpHeaders: boolean,
): Promise<LoadedCatalog> {
  const { hello, era } = reader.link;
  const has = (part: CatalogPart) => memberText(hello.capabilities, part) !== undefined;
  const list = async <E extends { readonly json: string }>(
    part: CatalogPart,
    name: CatalogList,
    [method, member]: readonly [string, string],
    read: (items: ReadList["items"]) => Usable<E>,
    before: readonly E[] | undefined,
  ) => {
    if (known && before && !parts.has(part))
      return { entries: before, leftOut: known.leftOutByList[name], hint: known.hints[name] };
    if (!has(part)) return { entries: [], leftOut: 0, hint: null };
    const { items, hint } = await readList(reader, method, member);
    const { entries, leftOut } = read(items);
    return { entries: before && sameEntries(before, entries) ? before : entries, leftOut, hint };
  };
  const [tools, prompts, resources, templates] = await Promise.all([
    list("tools", "tools", ["tools/list", "tools"], (items) => readTools(items, httpHeaders), known?.tools),
    list("prompts", "prompts", ["prompts/list", "prompts"], readPrompts, known?.prompts),
    list("resources", "resources", ["resources/list", "resources"], readResources, known?.resources),
    list("resources", "templates", ["resources/templates/list", "resourceTemplates"], readTemplates, known?.templates),
  ]);
  const lists = [tools, prompts, resources, templates];
  return {
    hello,
    era,
    tools: tools.entries,
    prompts: prompts.entries,
    resources: resources.entries,
    templates: templates.entries,
    leftOut: lists.reduce((sum, { leftOut }) => sum + leftOut, 0),
    leftOutByList: {
      tools: tools.leftOut,
      prompts: prompts.leftOut,
      resources: resources.leftOut,
      templates: templates.leftOut,
    },
    hints: { tools: tools.hint, prompts: prompts.hint, resources: resources.hint, templates: templates.hint },
    chars: lists.reduce((sum, { entries }) => sum + entries.reduce((chars, { json }) => chars + json.length, 0), 0),
  };
}

/** Which lists differ. */
export function changedParts(before: Catalog, after: Catalog): CatalogPart[] {
  return PARTS.filter((part) =>
    part === "resources"
      ? !sameEntries(before.resources, after.resources) || !sameEntries(before.templates, after.templates)
      : !sameEntries(before[part], after[part]),
  );
}

function sameEntries(a: readonly { readonly json: string }[], b: readonly { readonly json: string }[]): boolean {
  return a === b || (a.length === b.length && a.every(({ json }, at) => json === b[at]?.json));
}
