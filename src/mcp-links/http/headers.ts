/** Hop-by-hop (RFC 9110 §7.6.1), or the transport's and the channel's own: set by nobody else. */
const OWN = new Set([
  "accept",
  "connection",
  "expect",
  "host",
  "keep-alive",
  "last-event-id",
  "mcp-session-id",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** What a caller may not send in addition: who the gateway is to the server. */
const NOT_FORWARDED = new Set([...OWN, "authorization", "cookie"]);

/** Headers of the configuration, ready to send: alternating names and values. */
export interface ConfiguredHeaders {
  readonly pairs: readonly string[];
  /** Lower case. They win over what a caller forwards. */
  readonly names: ReadonlySet<string>;
}

/** @param hasAuth the server's `auth` sets `Authorization`, and a configured one is not sent */
export function configuredHeaders(headers: Readonly<Record<string, string>>, hasAuth: boolean): ConfiguredHeaders {
  const names = new Set<string>();
  const pairs: string[] = [];
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    if (OWN.has(lower) || lower.startsWith("content-") || lower === "mcp-protocol-version") continue;
    if (hasAuth && lower === "authorization") continue;
    names.add(lower);
    pairs.push(lower, value);
  }
  if (!names.has("user-agent")) pairs.push("user-agent", "bifrost");
  return { pairs, names };
}

/** Appends what a caller forwards. Lower-case names; none of the configured, the credential's or the transport's own. */
export function addForwarded(
  pairs: string[],
  forwarded: Readonly<Record<string, string>>,
  configured: ConfiguredHeaders,
): void {
  for (const name in forwarded) {
    const value = forwarded[name];
    if (value === undefined || NOT_FORWARDED.has(name) || configured.names.has(name)) continue;
    if (!name.startsWith("content-")) pairs.push(name, value);
  }
}

/** The headers of a request without those that describe its message: for a response or a stream that belongs to it. */
export function withoutMessageHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => name !== "mcp-method" && name !== "mcp-name" && !name.startsWith("mcp-param-"),
    ),
  );
}
