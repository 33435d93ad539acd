import type { ClientFacts, Era } from "../types.ts";

export interface LinkOptions {
  /** The server's name in the configuration. */
  readonly server: string;
  /** On behalf of whom the link is opened. */
  readonly client: ClientFacts;
  /** What the gateway says of itself where the client said nothing. */
  readonly gateway: { readonly name: string; readonly version: string };
  /** Of the opening requests and of what belongs to no request of the client's; lower case, HTTP servers only. */
  readonly headers: Readonly<Record<string, string>>;
  /** Tried first: the client's, or the one the server is known to speak. */
  readonly era: Era;
  /** Aborted while opening: everything is closed and the promise rejects. Of no effect afterwards. */
  readonly signal: AbortSignal | undefined;
  /** Told when something suggests that the server is gone, or is another one now, though nobody asked it anything. */
  readonly onDoubt?: (() => void) | undefined;
  /** Requests open at a time; one more is refused. */
  readonly maxOpenRequests: number;
  /** Time until a silent server is taken for one that waits for `initialize`. */
  readonly probeMs: number;
  /** Pause before a stream of changes is opened again, after so many tries without success. */
  readonly pauseMs: (failures: number) => number;
}

export const LINK_DEFAULTS: Pick<LinkOptions, "maxOpenRequests" | "probeMs" | "pauseMs"> = {
  maxOpenRequests: 1_000,
  probeMs: 3_000,
  // A quarter of a second, doubled up to half a minute, with a random half: many links lose a server at the same time.
  pauseMs: (failures) => Math.min(30_000, 250 * 2 ** Math.min(failures, 7)) * (0.5 + Math.random() / 2),
};
