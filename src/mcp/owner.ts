import type { Target } from "./backend.ts";
import type { Caller } from "./types.ts";

/**
 * Whose conversation it is: the principal, the agent inside it, and the target. Two that differ in any part never share a
 * session, a process or a counter (DESIGN §3). The parts cannot run into each other: none may hold a space.
 */
export function ownerOf({ principal, agentId }: Caller, target: Target): string {
  return `${principal.uid} ${agentId ?? ""} ${target.kind === "routed" ? target.server : ""}`;
}
