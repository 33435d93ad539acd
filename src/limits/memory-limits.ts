import type { Clock } from "../core/clock.ts";
import { SlidingWindow, WINDOW_MS } from "./sliding-window.ts";
import type { LimitRequest, LimitVerdict } from "./types.ts";

/** A place may be free at any moment; asking again sooner than this would only add load. */
const CONCURRENCY_RETRY_MS = 1_000;
/** Longer than any count matters. */
const IDLE_MS = WINDOW_MS + 2_000;

class KeyState {
  readonly window: SlidingWindow;
  running = 0;

  constructor(nowMs: number) {
    this.window = new SlidingWindow(nowMs);
  }
}

/** A class, not an object with closures: one allocation per request. */
class Admission {
  readonly admitted = true;
  readonly remaining: number;
  readonly resetMs: number;
  readonly #state: KeyState;
  readonly #mark: number;
  #settled = false;

  constructor(state: KeyState, mark: number, remaining: number, resetMs: number) {
    this.#state = state;
    this.#mark = mark;
    this.remaining = remaining;
    this.resetMs = resetMs;
  }

  release(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#state.running--;
  }

  undo(): void {
    if (this.#settled) return;
    this.release();
    this.#state.window.remove(this.#mark);
  }
}

export interface MemoryLimits {
  /** Answers at once. */
  take(request: LimitRequest): LimitVerdict;
  close(): Promise<void>;
  /** How many keys it remembers, for metrics. */
  readonly size: number;
}

/**
 * The limits of one gateway, in its own memory: exact for this process, empty after a restart.
 *
 * A key is remembered while its count matters or a request of it runs, and forgotten one to two minutes
 * later; so memory follows the number of keys used in the last two minutes (about 1.5 KiB each).
 *
 * @param clock give core's `steadyClock`; one that steps back delays requests by a minute at most
 */
export function createMemoryLimits(clock: Clock): MemoryLimits {
  // Two generations instead of a use-ordered map: a hit in the young one costs one look-up and no write.
  let young = new Map<string, KeyState>();
  let old = new Map<string, KeyState>();
  let turnedAtMs = clock.now();

  function turn(nowMs: number): void {
    if (nowMs < turnedAtMs) turnedAtMs = nowMs;
    if (nowMs - turnedAtMs < IDLE_MS) return;
    turnedAtMs = nowMs;
    const next = new Map<string, KeyState>();
    // What is still in the old generation was not asked for since the last turn: only running requests matter.
    for (const [uid, state] of old) if (state.running > 0) next.set(uid, state);
    old = young;
    young = next;
  }

  function stateOf(uid: string, nowMs: number): KeyState {
    const hit = young.get(uid);
    if (hit) return hit;
    const state = old.get(uid) ?? new KeyState(nowMs);
    old.delete(uid);
    young.set(uid, state);
    return state;
  }

  return {
    take({ keyUid, rateLimit, maxConcurrency }) {
      const nowMs = clock.now();
      turn(nowMs);
      const state = stateOf(keyUid, nowMs);
      const { window } = state;
      const remaining = rateLimit - window.count(nowMs);
      if (remaining <= 0) {
        const retryAfterMs = window.msUntilBelow(rateLimit, nowMs);
        return { admitted: false, reason: "rate", retryAfterMs, remaining: 0, resetMs: window.msUntilEmpty(nowMs) };
      }
      if (maxConcurrency !== null && state.running >= maxConcurrency) {
        const resetMs = window.msUntilEmpty(nowMs);
        return { admitted: false, reason: "concurrency", retryAfterMs: CONCURRENCY_RETRY_MS, remaining, resetMs };
      }
      state.running++;
      const mark = window.add(nowMs);
      return new Admission(state, mark, remaining - 1, window.msUntilEmpty(nowMs));
    },
    close: () => Promise.resolve(),
    get size() {
      return young.size + old.size;
    },
  };
}
