import { type JsonText, memberText, stringValue } from "../../jsonrpc/json-slice.ts";
import type { ServerNotification, WatchFilter } from "../types.ts";

export const NOTHING: WatchFilter = { tools: false, prompts: false, resources: false, resourceUris: [] };

/** URIs that one watch may follow; what is above is not granted. */
export const MAX_WATCHED_URIS = 1_000;

const TOOLS_CHANGED = "notifications/tools/list_changed";
const PROMPTS_CHANGED = "notifications/prompts/list_changed";
const RESOURCES_CHANGED = "notifications/resources/list_changed";
const RESOURCE_UPDATED = "notifications/resources/updated";

/** Whether a notification tells of a change: such a one belongs to the watches, however it arrived. */
export function isChange(method: string): boolean {
  return (
    method === TOOLS_CHANGED ||
    method === PROMPTS_CHANGED ||
    method === RESOURCES_CHANGED ||
    method === RESOURCE_UPDATED
  );
}

/** Whether a watch with this filter wants the notification. */
export function isWanted(filter: WatchFilter, { method, params }: ServerNotification): boolean {
  if (method === TOOLS_CHANGED) return filter.tools;
  if (method === PROMPTS_CHANGED) return filter.prompts;
  if (method === RESOURCES_CHANGED) return filter.resources;
  if (method !== RESOURCE_UPDATED || params === undefined) return false;
  const uri = stringValue(memberText(params, "uri"));
  return uri !== undefined && filter.resourceUris.some((wanted) => covers(wanted, uri));
}

/** A server may tell of a part of what was subscribed to (2025-11-25, ResourceUpdatedNotification: "sub-resource"). */
function covers(wanted: string, uri: string): boolean {
  if (!uri.startsWith(wanted)) return false;
  const next = uri.charAt(wanted.length);
  return next === "" || wanted.endsWith("/") || next === "/" || next === "#" || next === "?";
}

/** The part of the filter that a server with these capabilities can keep. */
export function supported(filter: WatchFilter, capabilities: JsonText): WatchFilter {
  const has = (area: string, member: string): boolean => {
    const text = memberText(capabilities, area);
    return text !== undefined && memberText(text, member) === "true";
  };
  return {
    tools: filter.tools && has("tools", "listChanged"),
    prompts: filter.prompts && has("prompts", "listChanged"),
    resources: filter.resources && has("resources", "listChanged"),
    resourceUris: has("resources", "subscribe") ? [...new Set(filter.resourceUris)].slice(0, MAX_WATCHED_URIS) : [],
  };
}

/** Whether there is nothing to hear of. */
export function isEmpty(filter: WatchFilter): boolean {
  return !filter.tools && !filter.prompts && !filter.resources && filter.resourceUris.length === 0;
}

/** What somebody must be told who may have missed something: every change that the filter asks for may have happened. */
export function* missedChanges(filter: WatchFilter): Generator<ServerNotification> {
  if (filter.tools) yield { method: TOOLS_CHANGED, params: undefined };
  if (filter.prompts) yield { method: PROMPTS_CHANGED, params: undefined };
  if (filter.resources) yield { method: RESOURCES_CHANGED, params: undefined };
  for (const uri of filter.resourceUris) {
    yield { method: RESOURCE_UPDATED, params: `{"uri":${JSON.stringify(uri)}}` };
  }
}
