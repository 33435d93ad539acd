import type { Schedule } from "./schedule.ts";
import type { CatalogPart } from "./types.ts";

/** Tells of changes: the first at once, what follows within a quarter of a second together. */
export interface ChangeListeners {
  add(listener: (what: CatalogPart) => void): () => void;
  tell(what: CatalogPart): void;
  stop(): void;
}

const QUIET_MS = 250;

export function createChangeListeners(schedule: Schedule): ChangeListeners {
  const listeners = new Set<(what: CatalogPart) => void>();
  const quiet = new Map<CatalogPart, { again: boolean; readonly cancel: () => void }>();

  function tell(what: CatalogPart): void {
    const waiting = quiet.get(what);
    if (waiting) {
      waiting.again = true;
      return;
    }
    const cancel = schedule.after(QUIET_MS, () => {
      const again = quiet.get(what)?.again;
      quiet.delete(what);
      if (again) tell(what);
    });
    quiet.set(what, { again: false, cancel });
    for (const listener of listeners) listener(what);
  }

  return {
    add(listener) {
      // Its own function, so that one that is added twice is heard twice and removed once.
      const own = (what: CatalogPart) => listener(what);
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    tell,
    stop() {
      for (const { cancel } of quiet.values()) cancel();
      quiet.clear();
      listeners.clear();
    },
  };
}
