import { RPC } from "../../jsonrpc/codes.ts";
import { type JsonText, type Member, withMembers } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import type { InboundMessage } from "../backend.ts";
import type { Classification } from "./classify.ts";

/** A well-formed request of the 2026 era. */
export type ModernRequest = Extract<Classification, { kind: "request" }>;

/** Whose limits a request counts against. */
export function principalOf({ caller }: InboundMessage): string {
  return `${caller.principal.kind} ${caller.principal.uid}`;
}

/** Caller and target: who is shown the same tools. */
export function scopeOf(inbound: InboundMessage): string {
  const { caller, target } = inbound;
  return `${principalOf(inbound)} ${caller.agentId ?? ""} ${target.kind === "routed" ? target.server : ""}`;
}

/** Of a state that is not, or no longer, this caller's for this call: all the same, so that nothing is learned from it. */
export function badState(): Reply {
  return errorReply(RPC.invalidParams, "Invalid or expired requestState", { reason: "invalid_request_state" });
}

function memberOf({ params }: ModernRequest, name: string): Member | undefined {
  return params.find((member) => member.name === name);
}

/** A member of params, unparsed. */
export function valueOf(request: ModernRequest, name: string): JsonText | undefined {
  const member = memberOf(request, name);
  return member && request.message.params?.slice(member.start, member.end);
}

/** The request with one member of params less. */
export function without(request: ModernRequest, name: string): ModernRequest {
  const { message } = request;
  if (message.params === undefined || !memberOf(request, name)) return request;
  return { ...request, message: { ...message, params: withMembers(message.params, { [name]: undefined }) } };
}

/** Identity and trace, and the parameters that a tool wants in headers (`x-mcp-header`). */
export function headersFor({ request, forwardHeaders }: InboundMessage): Readonly<Record<string, string>> {
  let headers: Record<string, string> | null = null;
  for (const name in request.headers) {
    if (!name.startsWith("mcp-param-")) continue;
    const value = request.headers[name];
    headers ??= { ...forwardHeaders };
    headers[name] = Array.isArray(value) ? value.join(", ") : (value ?? "");
  }
  return headers ?? forwardHeaders;
}
