import type { Clock } from "../core/clock.ts";
import { GatewayError, toGatewayError } from "../core/errors.ts";
import { createBackOff } from "./back-off.ts";
import type { ServerStatus } from "./types.ts";

/** What the gateway's own tries of a server found out. What callers do has no part in it: one must not hold up the others. */
export interface Health extends Pick<ServerStatus, "state" | "sinceMs" | "lastError"> {
  /** When the next try is due, in `error`. */
  nextTryAtMs(): number | null;
  /** It answered. */
  succeeded(): void;
  /** It did not. Returns how long to wait before the next try. */
  failed(error: unknown): number;
  /** Something failed that says nothing about the server as a whole. */
  note(error: unknown): void;
  stop(): void;
  /** @throws GatewayError `upstream.unavailable` in `error`, saying when the next try is */
  refuse(): void;
}

const MAX_MESSAGE = 500;

export function createHealth(server: string, clock: Clock, random: () => number): Health {
  const backOff = createBackOff(clock, random);
  let state: Health["state"] = "starting";
  let sinceMs = clock.now();
  let lastError: Health["lastError"] = null;

  function enter(next: Health["state"]): void {
    if (state === next || state === "stopped") return;
    state = next;
    sinceMs = clock.now();
  }

  function note(error: unknown): void {
    const { code, message } = toGatewayError(error);
    lastError = { code, message: message.slice(0, MAX_MESSAGE), atMs: clock.now() };
  }

  return {
    get state() {
      return state;
    },
    get sinceMs() {
      return sinceMs;
    },
    get lastError() {
      return lastError;
    },
    nextTryAtMs: () => (state === "error" ? clock.now() + backOff.waitMs() : null),
    succeeded() {
      backOff.succeeded();
      enter("running");
    },
    failed(error) {
      note(error);
      enter("error");
      return backOff.failed();
    },
    note,
    stop: () => enter("stopped"),
    refuse() {
      if (state !== "error") return;
      const seconds = Math.max(1, Math.ceil(backOff.waitMs() / 1_000));
      throw new GatewayError("upstream.unavailable", {
        message: `the MCP server ${server} is not available; the gateway tries it again in ${seconds} s`,
        headers: { "retry-after": String(seconds) },
      });
    },
  };
}
