import { hash } from "node:crypto";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import type { InboundMessage } from "../backend.ts";
import { isObject } from "./envelope.ts";

/** Members of params that differ from round to round. */
const OF_ONE_ROUND: ReadonlySet<string> = new Set(["_meta", "inputResponses", "requestState"]);

/**
 * What a retry must be equal in to reach a suspended call: principal, agent, target, method and parameters. `_meta` and
 * what a retry adds are left out; the order of members and white space do not count.
 */
export function bindingOf(
  { caller, target }: Pick<InboundMessage, "caller" | "target">,
  method: string,
  params: JsonText | undefined,
): string {
  const given: unknown = params === undefined ? {} : JSON.parse(params);
  const bound = Object.entries(isObject(given) ? given : {}).filter(([name]) => !OF_ONE_ROUND.has(name));
  const server = target.kind === "routed" ? target.server : null;
  const { principal, agentId } = caller;
  return JSON.stringify([
    principal.kind,
    principal.uid,
    agentId,
    server,
    method,
    hash("sha256", canonical(Object.fromEntries(bound))),
  ]);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, part: unknown) =>
    isObject(part) ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1))) : part,
  );
}
