import { memberText } from "../../jsonrpc/json-slice.ts";
import type { Link, ServerHello, ServerNotification, Watch, WatchFilter } from "../../mcp-links/types.ts";
import type { CatalogPart, McpServer } from "../../mcp-servers/types.ts";

const NOTIFICATION: Readonly<Record<CatalogPart, string>> = {
  tools: "notifications/tools/list_changed",
  prompts: "notifications/prompts/list_changed",
  resources: "notifications/resources/list_changed",
};

/**
 * What a client hears of changes at one server. Changes of lists come from the registry, which outlives links: a server that
 * restarts with other tools is heard of too. Updates of resources come over the conversation's own link.
 */
export function watchServer(facts: {
  readonly server: McpServer;
  link(): Promise<Link>;
  readonly filter: WatchFilter;
  onNotification(notification: ServerNotification): void;
}): Watch {
  const { server, onNotification } = facts;
  let filter = facts.filter;
  let updates: Watch | null = null;
  let closed = false;
  const forget = server.onChange((part) => {
    if (filter[part]) onNotification({ method: NOTIFICATION[part], params: undefined });
  });

  /** Opens a link only for a client that subscribed to something. */
  async function follow(): Promise<WatchFilter> {
    const onlyUpdates = { tools: false, prompts: false, resources: false, resourceUris: filter.resourceUris };
    if (updates) await updates.change(onlyUpdates);
    else if (filter.resourceUris.length > 0) {
      const link = await facts.link();
      if (closed) return filter;
      const opened = link.watch(onlyUpdates, onNotification);
      updates = opened;
      // A new link knows nothing of what the old one was asked.
      void link.closed.then(() => {
        if (closed || updates !== opened) return;
        updates = null;
        follow().catch(() => undefined);
      });
    }
    return updates ? updates.granted : onlyUpdates;
  }

  const granted = (async (): Promise<WatchFilter> => {
    const { resourceUris } = await follow();
    const hello = server.status().hello;
    return hello ? { ...listsOf(hello, filter), resourceUris } : { ...filter, resourceUris };
  })();
  granted.catch(() => undefined);

  return {
    granted,
    async change(next) {
      filter = next;
      await follow();
    },
    close() {
      closed = true;
      forget();
      updates?.close();
    },
  };
}

/** A client is promised only what the server says it tells. */
function listsOf(hello: ServerHello, wanted: WatchFilter): Omit<WatchFilter, "resourceUris"> {
  const tells = (part: CatalogPart) =>
    memberText(memberText(hello.capabilities, part) ?? "{}", "listChanged") === "true";
  return {
    tools: wanted.tools && tells("tools"),
    prompts: wanted.prompts && tells("prompts"),
    resources: wanted.resources && tells("resources"),
  };
}
