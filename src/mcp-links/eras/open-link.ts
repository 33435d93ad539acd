import { GatewayError, toGatewayError } from "../../core/errors.ts";
import type { Channel, Link, ServerHello } from "../types.ts";
import { cancelled } from "./cancelled.ts";
import { openInitializedLink } from "./link-2025.ts";
import { createStatelessLink, discover } from "./link-2026.ts";
import { LINK_DEFAULTS, type LinkOptions } from "./options.ts";
import { createWire, type Wire } from "./wire.ts";

type Defaults = keyof typeof LINK_DEFAULTS;
export type OpenLinkOptions = Omit<LinkOptions, Defaults> & Partial<Pick<LinkOptions, Defaults>>;

/** Failures that may mean "I do not speak like this"; others say that the server was not reached. */
const NOT_UNDERSTOOD = ["upstream.protocol", "upstream.refused", "upstream.session_lost", "upstream.reset"];

/**
 * Opens a conversation with a server, in the era that it speaks. The era of `options` is tried first, the other one where the
 * server does not speak that: give the client's, so that a server of both eras speaks as the client does and nothing needs
 * to be bridged, or the one that an earlier link of this server had, so that nothing is asked in vain.
 *
 * `openChannel` is called once, and a second time where the first question ended the channel: some 2025 servers exit when
 * anything comes before `initialize`. Where this fails, all that was opened is closed.
 *
 * @throws GatewayError `upstream.*`: of the channel, or `upstream.protocol` where the server speaks neither era; the
 *   signal's reason where it aborted
 */
export async function openLink(openChannel: () => Promise<Channel>, given: OpenLinkOptions): Promise<Link> {
  const options: LinkOptions = { ...LINK_DEFAULTS, ...given };
  const { signal } = options;
  let wire: Wire | undefined;
  async function rewire(): Promise<Wire> {
    await wire?.channel.close();
    const channel = await openChannel();
    if (signal?.aborted) {
      await channel.close();
      throw cancelled(signal);
    }
    wire = createWire(channel, options.headers);
    return wire;
  }
  try {
    const opening = options.era === "2026" ? open2026First(rewire, options) : open2025First(rewire, options);
    return await untilAborted(opening, signal);
  } catch (error) {
    await wire?.channel.close();
    throw signal?.aborted ? cancelled(signal) : toGatewayError(error);
  }
}

/** Not everything that is waited for takes a signal. What goes on after it fails, because its channel is closed. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(cancelled(signal));
  });
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

async function open2025First(rewire: () => Promise<Wire>, options: LinkOptions): Promise<Link> {
  const wire = await rewire();
  try {
    return await openInitializedLink(wire, options);
  } catch (error) {
    // A server that ends with its first message is a broken one: those of 2026 only answer an error.
    if (options.signal?.aborted || !isNotUnderstood(error) || hungUp(error, wire)) throw error;
    // What the server said to `initialize` is what is reported where it does not speak 2026 either.
    const hello = await discover(wire, options, options.signal).catch(() => null);
    if (hello === null) throw error;
    return createStatelessLink(wire, hello, options);
  }
}

async function open2026First(rewire: () => Promise<Wire>, options: LinkOptions): Promise<Link> {
  let wire = await rewire();
  const asking = new AbortController();
  const stop = (): void => asking.abort();
  options.signal?.addEventListener("abort", stop, { once: true });
  try {
    const asked = discover(wire, options, asking.signal);
    const hello = await firstOf(asked, options.probeMs).catch((error: unknown) => {
      // 5xx too: there are 2025 servers that answer so to what they do not know.
      if (!isNotUnderstood(error) && !isCode(error, ["upstream.unavailable"])) throw error;
      return hungUp(error, wire) ? "hung up" : null;
    });
    if (options.signal?.aborted) throw cancelled(options.signal);
    if (hello === "hung up") wire = await rewire();
    else if (hello !== null && hello !== "silent") return createStatelessLink(wire, hello, options);
    try {
      return await openInitializedLink(wire, options);
    } catch (error) {
      // Silent because it had yet to start: then it has refused `initialize`, and answered what came before.
      const late = hello === "silent" && isNotUnderstood(error) ? await asked.catch(() => null) : null;
      if (late === null) throw error;
      return createStatelessLink(wire, late, options);
    }
  } finally {
    asking.abort();
    options.signal?.removeEventListener("abort", stop);
  }
}

/** What the server says of itself, or that it says nothing for so long that it may wait for `initialize`. */
async function firstOf(asked: Promise<ServerHello | null>, probeMs: number): Promise<ServerHello | null | "silent"> {
  let timer: NodeJS.Timeout | undefined;
  const silent = new Promise<"silent">((resolve) => {
    timer = setTimeout(resolve, probeMs, "silent");
  });
  try {
    return await Promise.race([asked, silent]);
  } finally {
    clearTimeout(timer);
  }
}

function isNotUnderstood(error: unknown): boolean {
  return isCode(error, NOT_UNDERSTOOD);
}

function isCode(error: unknown, codes: readonly string[]): boolean {
  return error instanceof GatewayError && codes.includes(error.code);
}

function hungUp(error: unknown, wire: Wire): boolean {
  return wire.ended || isCode(error, ["upstream.reset"]);
}
