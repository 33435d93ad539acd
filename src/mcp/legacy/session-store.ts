import { GatewayError } from "../../core/errors.ts";
import type { Session } from "./session.ts";

export interface SessionLimits {
  readonly maxPerPrincipal: number;
  readonly maxInAll: number;
  /** A session that nobody used for this long ends. */
  readonly idleMs: number;
}

/** The open sessions. What another principal or agent presents is as unknown as what nobody was given. */
export interface SessionStore {
  find(id: string, owner: string): Session | null;
  /** Makes room by ending the principal's session that was idle longest. @throws GatewayError `mcp.sessions_exhausted` */
  add(session: Session): void;
  end(session: Session): void;
  /** Ends what is idle too long, and keeps the streams of the others alive. */
  sweep(): void;
  /** Ends the streams that belong to no request. */
  stopListening(): void;
  /** Lets go of all sessions, each when its calls have ended: the next request with its id takes it up again. */
  renew(): void;
  endAll(): void;
  all(): Iterable<Session>;
}

export function createSessionStore(limits: SessionLimits, now: () => number): SessionStore {
  // In order of last use: the first is the one that was idle longest.
  const sessions = new Map<string, Session>();
  const ofPrincipal = new Map<string, Map<string, Session>>();

  function forget(session: Session): boolean {
    if (sessions.get(session.id) !== session) return false;
    sessions.delete(session.id);
    const own = ofPrincipal.get(session.principalUid);
    own?.delete(session.id);
    if (own?.size === 0) ofPrincipal.delete(session.principalUid);
    return true;
  }

  function end(session: Session): void {
    if (forget(session)) session.end();
  }

  function makeRoom(among: ReadonlyMap<string, Session>): void {
    for (const session of among.values()) {
      if (session.isBusy()) continue;
      end(session);
      return;
    }
    throw new GatewayError("mcp.sessions_exhausted");
  }

  return {
    all: () => sessions.values(),
    find(id, owner) {
      const session = sessions.get(id);
      if (session?.owner !== owner) return null;
      session.lastUsedMs = now();
      touch(sessions, session);
      touch(ofPrincipal.get(session.principalUid), session);
      return session;
    },
    add(session) {
      const own = ofPrincipal.get(session.principalUid) ?? new Map<string, Session>();
      if (own.size >= limits.maxPerPrincipal) makeRoom(own);
      // Another principal's idle session never makes room: nobody can push others out.
      if (sessions.size >= limits.maxInAll) makeRoom(own);
      sessions.set(session.id, session);
      own.set(session.id, session);
      ofPrincipal.set(session.principalUid, own);
    },
    end,
    sweep() {
      const oldest = now() - limits.idleMs;
      for (const session of [...sessions.values()]) {
        if (session.lastUsedMs < oldest && !session.isBusy()) end(session);
        else session.keepAlive();
      }
    },
    stopListening() {
      for (const session of sessions.values()) session.stopListening();
    },
    renew() {
      for (const session of [...sessions.values()]) {
        forget(session);
        session.retire();
      }
    },
    endAll() {
      for (const session of [...sessions.values()]) end(session);
    },
  };
}

function touch(map: Map<string, Session> | undefined, session: Session): void {
  map?.delete(session.id);
  map?.set(session.id, session);
}
