import { openLink } from "../mcp-links/eras/open-link.ts";
import { openHttpChannel } from "../mcp-links/http/open-channel.ts";
import type { HttpUpstreams } from "../mcp-links/http/upstreams.ts";
import { openStdioChannel } from "../mcp-links/stdio/open-stdio-channel.ts";
import type { Reaper } from "../mcp-links/stdio/reaper.ts";
import type { Channel } from "../mcp-links/types.ts";
import type { DeclaredMcpServer } from "../config/model.ts";
import type { Logger } from "../core/log.ts";
import type { OpenLink } from "../mcp-servers/types.ts";

export interface OpenLinkDeps {
  readonly version: string;
  readonly log: Pick<Logger, "debug" | "info">;
  readonly upstreams: HttpUpstreams;
  readonly reaper: Reaper;
  readonly inheritedEnvironment: Readonly<Record<string, string>>;
  /** The secret of a stored credential, for one server. @throws where it may not go there */
  bearerFor(server: DeclaredMcpServer, credential: string): Promise<string>;
  /** A line that a server wrote to its standard error. */
  onServerLine(server: string, line: string): void;
}

/** How links to the configured servers are opened: the transport the configuration names, then the era they speak. */
export function createOpenLink(deps: OpenLinkDeps): OpenLink {
  return (declared, { facts, headers, era, signal, onDoubt }) =>
    openLink(() => openChannel(declared, deps), {
      server: declared.name,
      client: facts,
      gateway: { name: "bifrost", version: deps.version },
      headers,
      era,
      signal,
      onDoubt,
    });
}

async function openChannel(declared: DeclaredMcpServer, deps: OpenLinkDeps): Promise<Channel> {
  const { name, transport } = declared;
  if (transport.kind === "stdio") {
    return openStdioChannel(transport, {
      ownEnv: deps.inheritedEnvironment,
      reaper: deps.reaper,
      onStderrLine: (line) => deps.onServerLine(name, line),
      onNoise: (why, line) => deps.log.debug({ server: name, line }, why),
    });
  }
  const { auth } = transport;
  return openHttpChannel(transport, {
    upstreams: deps.upstreams,
    ...(auth.kind === "credential" && { bearer: () => deps.bearerFor(declared, auth.credential) }),
  });
}
