import { Client, type ClientOptions, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

/** The official client's ways to talk to a server. `pinned` speaks 2026-07-28 without probing. */
export const ERAS = {
  "2025-11-25": { mode: "legacy" },
  "2026-07-28": { mode: { pin: "2026-07-28" } },
  "whatever the server offers": { mode: "auto" },
} as const satisfies Record<string, ClientOptions["versionNegotiation"]>;

export type Era = keyof typeof ERAS;

/** The official client, connected; disposing it closes the connection. */
export async function connectMcp(url: string, token: string, era: Era, headers: Record<string, string> = {}) {
  const client = new Client({ name: "bifrost-test", version: "1.0.0" }, { versionNegotiation: ERAS[era] });
  const requestInit = { headers: { authorization: `Bearer ${token}`, ...headers } };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.close() });
}
