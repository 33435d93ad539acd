/** How the credential is put into the outbound request. */
export type Injection =
  /** `name: prefix + secret`; with a template, `{secret}` in it is replaced instead. */
  | { readonly kind: "header"; readonly name: string; readonly prefix: string; readonly template: string | null }
  /** `Authorization: Bearer secret` (RFC 6750 §2.1). */
  | { readonly kind: "bearer" }
  /** `Authorization: Basic base64(username:secret)` (RFC 7617); a secret with a colon is the whole pair when username is null. */
  | { readonly kind: "basic"; readonly username: string | null }
  /** `?name=secret` appended to the query. */
  | { readonly kind: "query"; readonly name: string };

/** All in milliseconds; 0 means no limit. */
export interface Timeouts {
  /** To an open, TLS-complete connection. */
  readonly connectMs: number;
  /** From the request sent to the response's header. */
  readonly headersMs: number;
  /** Between two pieces of a body, either way. */
  readonly idleMs: number;
  /** From admission to the end of the response. */
  readonly totalMs: number;
}

/** What an operator chooses per service. Stored as JSON; parsed on read. */
export interface ServiceSettings {
  readonly injection: Injection;
  /** Allowed methods, upper case; null allows all but TRACE and CONNECT. */
  readonly methods: readonly string[] | null;
  /** Allowed path patterns below the base path (`core/path-pattern.ts`); null allows all. */
  readonly paths: readonly string[] | null;
  readonly timeouts: Timeouts;
  /** `auto` negotiates HTTP/2 by ALPN over TLS; `off` is HTTP/1.1 only; `prior_knowledge` is HTTP/2 without TLS (h2c). */
  readonly http2: "auto" | "off" | "prior_knowledge";
  /** Otherwise refused address ranges that may be connected to: `loopback`, `private`, `link_local` or CIDR blocks. */
  readonly allowAddresses: readonly string[];
  /** Request headers that pass, lower case; null passes all that are not stripped by rule. */
  readonly allowHeaders: readonly string[] | null;
  /** Pass `Cookie` up and `Set-Cookie` (without Domain) down. */
  readonly forwardCookies: boolean;
  /** Send `X-Forwarded-For`, `-Host` and `-Proto` as the gateway saw them. */
  readonly forwardClientAddress: boolean;
  /** Accept the virtual key in the query parameter `bifrost_key`. */
  readonly allowKeyInQuery: boolean;
  /**
   * What to do when a response contains the injected secret: `redact` masks it in headers and in bodies
   * without content coding; `strict` also asks for identity coding and refuses coded bodies; `off` relays.
   */
  readonly credentialEcho: "redact" | "strict" | "off";
  /** Send `X-Bifrost-Identity`, the signed assertion. */
  readonly identityAssertion: boolean;
  /** Audience of the assertion; null uses the origin. */
  readonly identityAudience: string | null;
}

/** An upstream API. */
export interface Service {
  readonly uid: string;
  readonly orgUid: string;
  /** Chosen by its creator, unique in the org; what keys name as target. */
  readonly id: string;
  readonly description: string;
  /** Scheme, host and port, as URL.origin writes it. */
  readonly origin: string;
  /** Path prefix without trailing slash; "" for none. */
  readonly basePath: string;
  readonly credentialUid: string | null;
  readonly settings: ServiceSettings;
  readonly managedBy: "api" | "config";
  readonly disabledAtMs: number | null;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export const DEFAULT_TIMEOUTS: Timeouts = { connectMs: 10_000, headersMs: 300_000, idleMs: 300_000, totalMs: 0 };

export const DEFAULT_SETTINGS: ServiceSettings = {
  injection: { kind: "header", name: "X-API-Key", prefix: "", template: null },
  methods: null,
  paths: null,
  timeouts: DEFAULT_TIMEOUTS,
  http2: "auto",
  allowAddresses: [],
  allowHeaders: null,
  forwardCookies: false,
  forwardClientAddress: false,
  allowKeyInQuery: false,
  credentialEcho: "redact",
  identityAssertion: false,
  identityAudience: null,
};
