import type { McpTransport } from "../../config/model.ts";
import { type Clock, steadyClock } from "../../core/clock.ts";
import type { Resolve } from "../../core/guarded-lookup.ts";
import { type Authorization, bearerAuthorization } from "./authorization.ts";
import type { HttpUpstream } from "./conversation.ts";
import { configuredHeaders } from "./headers.ts";
import { clientCredentials, type OAuthDeps } from "./oauth.ts";
import { createHttpPools, type HttpPools } from "./pools.ts";

export type HttpTransport = Extract<McpTransport, { kind: "http" }>;

/** What channels to the same server share: connections, headers, tokens. One for the whole gateway. */
export interface HttpUpstreams {
  /** @param bearer gives the stored credential's secret, for `auth.kind = "credential"`. Asked for each request. */
  upstreamFor(transport: HttpTransport, bearer?: () => Promise<string>): HttpUpstream;
  /** Cuts every connection to every server. */
  close(): Promise<void>;
}

/** @param resolve replaced in tests, to answer as a hostile name server would */
export function createHttpUpstreams(
  options: { readonly resolve?: Resolve; readonly clock?: Clock } & Pick<OAuthDeps, "onToken"> = {},
): HttpUpstreams {
  const pools = createHttpPools(options.resolve);
  const clock = options.clock ?? steadyClock;
  const known = new WeakMap<HttpTransport, HttpUpstream>();

  return {
    upstreamFor(transport, bearer) {
      let upstream = known.get(transport);
      if (!upstream) {
        upstream = describe(transport, pools, authorizationFor(transport, pools, { ...options, clock }, bearer));
        known.set(transport, upstream);
      }
      return upstream;
    },
    close: () => pools.close(),
  };
}

function describe(transport: HttpTransport, pools: HttpPools, authorization: Authorization | null): HttpUpstream {
  const url = new URL(transport.url);
  return {
    url,
    path: url.pathname + url.search,
    protocol: transport.protocol,
    connectTimeoutMs: transport.connectTimeoutMs,
    headers: configuredHeaders(transport.headers, authorization !== null),
    authorization,
    pool: pools.poolFor(url, transport),
  };
}

function authorizationFor(
  transport: HttpTransport,
  pools: HttpPools,
  oauth: Omit<OAuthDeps, "pool">,
  bearer: (() => Promise<string>) | undefined,
): Authorization | null {
  const { auth } = transport;
  if (auth.kind === "none") return null;
  if (auth.kind === "oauth")
    return clientCredentials(auth, { pool: pools.poolFor(new URL(auth.tokenUrl), transport), ...oauth });
  if (!bearer) throw new Error("a server with a credential needs the function that reveals it");
  return bearerAuthorization(bearer);
}
