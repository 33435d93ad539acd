import { toGatewayError, type GatewayError } from "../../core/errors.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { Link, LinkRequest } from "../../mcp-links/types.ts";
import type { OpenLink } from "../../mcp-servers/types.ts";

/** How a request to a server ended. */
export type Ending = { readonly reply: Reply } | { readonly failure: GatewayError };

/** Hears of each request that goes to a server, also those that the gateway makes for itself. Never throws. */
export interface LinkObserver {
  /** The request as it is to go out, and what to tell when it is over. */
  begin(server: string, request: LinkRequest): { readonly request: LinkRequest; ended(ending: Ending): void };
}

/** Links whose requests are seen by these, the first one outermost. */
export function observeLinks(open: OpenLink, observers: readonly LinkObserver[]): OpenLink {
  if (observers.length === 0) return open;
  return async (declared, options) => observedLink(await open(declared, options), observers);
}

function observedLink(link: Link, observers: readonly LinkObserver[]): Link {
  return {
    server: link.server,
    era: link.era,
    // Another one after the link renewed its session.
    get hello() {
      return link.hello;
    },
    closed: link.closed,
    async request(request) {
      let sent = request;
      const begun = observers.map((observer) => {
        const watch = observer.begin(link.server, sent);
        sent = watch.request;
        return watch;
      });
      try {
        const reply = await link.request(sent);
        for (const watch of begun) watch.ended({ reply });
        return reply;
      } catch (thrown) {
        const failure = toGatewayError(thrown);
        for (const watch of begun) watch.ended({ failure });
        throw thrown;
      }
    },
    notify: (method, params) => link.notify(method, params),
    setLogLevel: (level) => link.setLogLevel(level),
    watch: (filter, onNotification) => link.watch(filter, onNotification),
    listen: (events) => link.listen(events),
    close: () => link.close(),
  };
}
