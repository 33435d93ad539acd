/** The span that a rate is stated for, in milliseconds. */
export const WINDOW_MS = 60_000;

/** One slot more than the window has seconds: the second in which the window begins counts whole. */
const SLOTS = 61;
const SLOT_MS = 1_000;

/**
 * How many events fell into the last minute, in slots of one second.
 *
 * The count errs on the high side only, by what else happened in the second at the window's far end. So
 * whoever admits while {@link count} is below R admits at most R in any 60 seconds, wherever they begin,
 * and after 61 seconds of silence the count is 0. Time and memory per window are constant.
 *
 * Times are milliseconds of one clock. Should that clock step back, all that is counted is taken to have
 * happened at the new time: nothing is forgotten, and it still passes within 61 seconds.
 */
export class SlidingWindow {
  readonly #slots = new Uint32Array(SLOTS);
  #second: number;
  #newest: number;
  #count = 0;
  #steps = 0;

  constructor(nowMs: number) {
    this.#second = Math.floor(nowMs / SLOT_MS);
    this.#newest = this.#second;
  }

  /** Events of the last minute. */
  count(nowMs: number): number {
    this.#advance(Math.floor(nowMs / SLOT_MS));
    return this.#count;
  }

  /** Counts one event and returns a mark for {@link remove}. */
  add(nowMs: number): number {
    this.#advance(Math.floor(nowMs / SLOT_MS));
    const slot = this.#second % SLOTS;
    this.#slots[slot] = (this.#slots[slot] ?? 0) + 1;
    this.#count++;
    this.#newest = this.#second;
    return this.#second;
  }

  /** Takes back the event with this mark, unless it has left the window. Call at most once per mark. */
  remove(mark: number): void {
    const slot = mark % SLOTS;
    const events = this.#slots[slot] ?? 0;
    // After a step of the clock, marks no longer say where an event is counted: keeping it is the safe side.
    if (this.#steps > 0 || mark <= this.#second - SLOTS || events === 0) return;
    this.#slots[slot] = events - 1;
    this.#count--;
  }

  /** Milliseconds until the count is below `limit` if nothing is added; 0 if it is. Never for `limit` 0: one minute. */
  msUntilBelow(limit: number, nowMs: number): number {
    let count = this.count(nowMs);
    if (count < limit) return 0;
    for (let second = this.#second - SLOTS + 1; second <= this.#second; second++) {
      count -= this.#slots[second % SLOTS] ?? 0;
      if (count < limit) return (second + SLOTS) * SLOT_MS - nowMs;
    }
    return WINDOW_MS;
  }

  /** Milliseconds until the count is 0 if nothing is added. */
  msUntilEmpty(nowMs: number): number {
    return this.count(nowMs) === 0 ? 0 : (this.#newest + SLOTS) * SLOT_MS - nowMs;
  }

  #advance(second: number): void {
    const behind = second - this.#second;
    if (behind === 0) return;
    if (behind >= SLOTS) {
      this.#slots.fill(0);
      this.#count = 0;
    } else if (behind > 0) {
      for (let passed = this.#second + 1; passed <= second; passed++) {
        const slot = passed % SLOTS;
        this.#count -= this.#slots[slot] ?? 0;
        this.#slots[slot] = 0;
      }
    } else {
      this.#slots.fill(0);
      this.#slots[second % SLOTS] = this.#count;
      this.#newest = second;
      this.#steps++;
    }
    this.#second = second;
  }
}
