/** Runs something later. An argument wherever time passes, so that tests own it. */
export interface Schedule {
  /** Returns what cancels it. Never keeps the process alive. */
  after(delayMs: number, run: () => void): () => void;
}

export const systemSchedule: Schedule = {
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs).unref();
    return () => clearTimeout(timer);
  },
};

/** Resolves after the promise or the delay, whichever is first; never rejects. */
export async function settledWithin(schedule: Schedule, delayMs: number, promise: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const cancel = schedule.after(delayMs, resolve);
  await Promise.race([
    promise.then(
      () => resolve(),
      () => resolve(),
    ),
    late,
  ]);
  cancel();
}
