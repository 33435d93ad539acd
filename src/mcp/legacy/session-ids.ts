import { randomBytes } from "node:crypto";
import { BoundedMap } from "../../core/bounded-map.ts";
import type { Keyring } from "../../vault/keyring.ts";
import { VaultError } from "../../vault/keyring.ts";
import type { ClientFacts } from "../../mcp-links/types.ts";
import type { Target } from "../backend.ts";
import { ownerOf } from "../owner.ts";
import type { Caller } from "../types.ts";

/** What a session is made of, besides whom it belongs to. */
export interface SessionFacts extends ClientFacts {
  readonly revision: string;
}

/**
 * Ids of sessions that say, sealed, what the session was made of: a gateway that was restarted, another instance, or one that
 * gave up an idle session to make room takes it up again, and the client notices nothing. They open only for the principal,
 * agent and target they were made for; for everybody else they are as unknown as any text.
 */
export interface SessionIds {
  issue(caller: Caller, target: Target, facts: SessionFacts): string;
  /** Null for an id that was not issued to this caller, is too old, or was ended by its client. */
  read(id: string, caller: Caller, target: Target): SessionFacts | null;
  /** The client ended it: not taken up again on this instance. */
  forget(id: string): void;
}

/** Of a client that says more of itself than fits into a header; its sessions end with the process. */
const MAX_FACTS = 2_048;
/** Longer ids were not issued here. */
export const MAX_SESSION_ID = 4_096;
const MAX_FORGOTTEN = 10_000;

/** @param maxAgeMs from issue; what is still open here is not asked for its age */
export function createSessionIds(deps: {
  readonly keyring: Pick<Keyring, "seal" | "open">;
  readonly maxAgeMs: number;
  now(): number;
}): SessionIds {
  const forgotten = new BoundedMap<string, true>(MAX_FORGOTTEN);
  const contextOf = (caller: Caller, target: Target) => ({
    orgUid: caller.principal.orgUid,
    recordUid: ownerOf(caller, target),
    column: "mcp_session",
  });
  return {
    issue(caller, target, { revision, info, capabilities }) {
      const text = JSON.stringify([deps.now(), revision, capabilities, info, randomBytes(12).toString("base64url")]);
      if (text.length > MAX_FACTS) return randomBytes(24).toString("base64url");
      return deps.keyring.seal(text, contextOf(caller, target));
    },
    read(id, caller, target) {
      if (forgotten.peek(id)) return null;
      let opened: unknown;
      try {
        opened = JSON.parse(deps.keyring.open(id, contextOf(caller, target)));
      } catch (failure) {
        if (failure instanceof VaultError) return null;
        throw failure;
      }
      // Only what was sealed here opens.
      const [issuedAtMs, revision, capabilities, info] = opened as [number, string, string, string | null];
      return deps.now() - issuedAtMs > deps.maxAgeMs ? null : { revision, capabilities, info };
    },
    forget: (id) => forgotten.set(id, true),
  };
}
