import { randomBytes } from "node:crypto";
import type { Clock } from "../../core/clock.ts";
import { GatewayError } from "../../core/errors.ts";

/** How many calls may wait for their clients, and how long. */
export interface SuspensionLimits {
  readonly perPrincipal: number;
  readonly total: number;
  readonly ms: number;
}

/** A call that waits for its client to come back. */
export interface Suspendable {
  /** Whose limit it counts against. */
  readonly principal: string;
  /** Everything a retry must be equal in: principal, agent, target, method, parameters. */
  binding(): string;
  /** Nobody will come back: cancels the call upstream. Idempotent. */
  abandon(): void;
}

/** The `requestState` of the gateway's own: what does not begin so belongs to a server. */
export const STATE_PREFIX = "bifrost.";

interface Entry<Call> {
  readonly call: Call;
  readonly expiresAt: number;
}

/**
 * Calls of 2026 clients that are open at a server of the 2025 era while the client gathers the input it asked for. A state
 * is 256 random bits that mean nothing outside this map: it cannot be forged, and another's, an expired one and an invented
 * one are all just unknown. Held in memory: a retry must reach the process that asked.
 */
export function createSuspendedCalls<Call extends Suspendable>(clock: Clock, limits: SuspensionLimits) {
  // In the order of expiry, as each waits equally long.
  const entries = new Map<string, Entry<Call>>();
  const perPrincipal = new Map<string, number>();
  let closed = false;

  const remove = (state: string, { call }: Entry<Call>) => {
    entries.delete(state);
    const left = (perPrincipal.get(call.principal) ?? 1) - 1;
    if (left === 0) perPrincipal.delete(call.principal);
    else perPrincipal.set(call.principal, left);
  };

  const sweep = () => {
    const now = clock.now();
    for (const [state, entry] of entries) {
      if (entry.expiresAt > now) return;
      remove(state, entry);
      entry.call.abandon();
    }
  };

  return {
    get size() {
      return entries.size;
    },

    /** The state with which a client may come back, once. @throws GatewayError limit.concurrency, gateway.draining */
    suspend(call: Call): string {
      if (closed) throw new GatewayError("gateway.draining");
      sweep();
      const own = perPrincipal.get(call.principal) ?? 0;
      if (own >= limits.perPrincipal || entries.size >= limits.total)
        throw new GatewayError("limit.concurrency", { message: "too many calls wait for their clients' input" });
      const state = STATE_PREFIX + randomBytes(32).toString("base64url");
      entries.set(state, { call, expiresAt: clock.now() + limits.ms });
      perPrincipal.set(call.principal, own + 1);
      return state;
    },

    /** The call behind a state, where the binding is the same. The state stays good until `take`. */
    find(state: string, binding: string): Call | null {
      sweep();
      const entry = entries.get(state);
      return entry && entry.call.binding() === binding ? entry.call : null;
    },

    /** Ends a state that was found: a second retry with it finds nothing. */
    take(state: string): void {
      const entry = entries.get(state);
      if (entry) remove(state, entry);
    },

    /** Abandons what has expired. To be called now and then: nothing else ends the call of a client that is gone. */
    sweep,

    /** Abandons all calls, and takes no more. */
    close(): void {
      closed = true;
      for (const [state, entry] of entries) {
        remove(state, entry);
        entry.call.abandon();
      }
    },
  };
}

export type SuspendedCalls<Call extends Suspendable> = ReturnType<typeof createSuspendedCalls<Call>>;
