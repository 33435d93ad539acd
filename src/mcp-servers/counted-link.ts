import { GatewayError } from "../core/errors.ts";
import type { Link } from "../mcp-links/types.ts";

/** How much a link is used. Who evicts links reads it. */
export interface LinkUse {
  /** Requests in flight. */
  calls: number;
  /** Handed out, and not used since. */
  pending: number;
  watches: number;
  lastUsedMs: number;
  /** Called when the last request in flight ended. */
  onUnused: (() => void) | null;
}

interface CountedLinkDeps {
  now(): number;
  /** A request failed in the gateway's hop, not by an answer of the server. */
  onFailure(error: unknown): void;
  onAnswer(): void;
  close(): Promise<void>;
}

/** The link with its use counted. A watch counts until it is closed. `close` is the pool's. */
export function createCountedLink(link: Link, use: LinkUse, deps: CountedLinkDeps): Link {
  return {
    server: link.server,
    era: link.era,
    // Another one after the link renewed its session.
    get hello() {
      return link.hello;
    },
    closed: link.closed,
    async request(request) {
      use.calls++;
      if (use.pending > 0) use.pending--;
      try {
        const reply = await link.request(request);
        deps.onAnswer();
        return reply;
      } catch (error) {
        deps.onFailure(error);
        throw error;
      } finally {
        use.calls--;
        use.lastUsedMs = deps.now();
        if (use.calls === 0) use.onUnused?.();
      }
    },
    notify: (method, params) => link.notify(method, params),
    setLogLevel: (level) => link.setLogLevel(level),
    listen: (events) => link.listen(events),
    watch(filter, onNotification) {
      const watch = link.watch(filter, onNotification);
      let open = true;
      use.watches++;
      return {
        granted: watch.granted,
        change: (next) => watch.change(next),
        close() {
          if (!open) return;
          open = false;
          use.watches--;
          use.lastUsedMs = deps.now();
          watch.close();
        },
      };
    },
    close: () => deps.close(),
  };
}

const NOT_REACHED = new Set([
  "upstream.unreachable",
  "upstream.dns",
  "upstream.tls",
  "upstream.reset",
  "upstream.timeout_connect",
  "upstream.timeout",
  "upstream.protocol",
]);

/** True where an error suggests that the server as a whole may be down, which is worth a look. */
export function suggestsOutage(error: unknown): boolean {
  return error instanceof GatewayError && NOT_REACHED.has(error.code);
}

/** True where the server has forgotten the link's session, so that the link is of no use any more. */
export function isSessionLost(error: unknown): boolean {
  return error instanceof GatewayError && error.code === "upstream.session_lost";
}
