import { type JsonText, memberText, stringValue } from "../jsonrpc/json-slice.ts";
import { headerArgumentsOf } from "../mcp-links/eras/tool-headers.ts";
import type { CatalogPrompt, CatalogResource, CatalogTemplate, CatalogTool } from "./types.ts";

/** The usable elements of a list, in the server's order, and how many were left out. */
export interface Usable<E> {
  readonly entries: readonly E[];
  readonly leftOut: number;
}

/** Visible ASCII: MCP 2025-11-25 allows less, servers in use have slashes and colons. Nothing that looks like something else. */
const TOOL_NAME = /^[\x21-\x7e]{1,128}$/;
/** Any letters, but nothing that a terminal or a log would act on. */
const PROMPT_NAME = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{1,256}$/u;
const URI = /^[^\p{Cc}\s]{1,8192}$/u;

/** @param httpHeaders whether arguments go into headers, so that a tool which asks for it in a wrong way is left out */
export function readTools(items: readonly JsonText[], httpHeaders: boolean): Usable<CatalogTool> {
  return usable(items, "name", TOOL_NAME, (name, json) => {
    if (httpHeaders && !mayBeOffered(json)) return null;
    const annotations = memberText(json, "annotations");
    return {
      name,
      json,
      readOnlyHint: annotations !== undefined && memberText(annotations, "readOnlyHint") === "true",
    };
  });
}

/** 2026-07-28, Streamable HTTP, Schema Extension: a client of an HTTP server leaves out a tool that is annotated wrongly. */
function mayBeOffered(tool: JsonText): boolean {
  if (!tool.includes("x-mcp-header")) return true;
  return headerArgumentsOf(JSON.parse(memberText(tool, "inputSchema") ?? "null")) !== null;
}

export function readPrompts(items: readonly JsonText[]): Usable<CatalogPrompt> {
  return usable(items, "name", PROMPT_NAME, (name, json) => ({ name, json }));
}

export function readResources(items: readonly JsonText[]): Usable<CatalogResource> {
  return usable(items, "uri", URI, (uri, json) => ({ uri, json }));
}

export function readTemplates(items: readonly JsonText[]): Usable<CatalogTemplate> {
  return usable(items, "uriTemplate", URI, (uriTemplate, json) => ({ uriTemplate, json }));
}

/** Of two elements of one name the first stays: a call could not say which is meant, and policy would see only one. */
function usable<E>(
  items: readonly JsonText[],
  member: string,
  pattern: RegExp,
  read: (name: string, json: JsonText) => E | null,
): Usable<E> {
  const entries: E[] = [];
  const names = new Set<string>();
  for (const json of items) {
    const name = stringValue(memberText(json, member));
    if (name === undefined || !pattern.test(name) || names.has(name)) continue;
    const entry = read(name, json);
    if (entry === null) continue;
    names.add(name);
    entries.push(entry);
  }
  return { entries, leftOut: items.length - entries.length };
}
