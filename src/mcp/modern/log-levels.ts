import type { Backend } from "../backend.ts";
import { severityOf } from "./envelope.ts";

/**
 * The log level of a conversation that many requests share. A server of the 2025 era has one level for all, so it is told
 * the most talkative that any request wanted; each request's own level is applied to what arrives.
 */
export function createLogLevels() {
  const reached = new WeakMap<Pick<Backend, "setLogLevel">, { severity: number; done: Promise<unknown> }>();
  return {
    /** Resolves when the server sends messages of this level and above, or will not: that is no reason to fail a request. */
    async reach(backend: Pick<Backend, "setLogLevel">, level: string): Promise<void> {
      const severity = severityOf(level);
      const known = reached.get(backend);
      if (known && known.severity <= severity) return void (await known.done);
      const done = backend.setLogLevel(level).catch(() => reached.delete(backend));
      reached.set(backend, { severity, done });
      await done;
    },
  };
}
