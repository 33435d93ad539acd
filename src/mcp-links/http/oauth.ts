import type { Dispatcher } from "undici";
import type { Clock } from "../../core/clock.ts";
import { GatewayError } from "../../core/errors.ts";
import { type Authorization, bearerToken } from "./authorization.ts";
import { sendShort, type ShortAnswer } from "./send.ts";
import type { HttpTransport } from "./upstreams.ts";

type OAuthSettings = Extract<HttpTransport["auth"], { kind: "oauth" }>;

export interface OAuthDeps {
  /** Connections to the token endpoint. @throws GatewayError `upstream.address_refused` */
  pool(): Dispatcher;
  readonly clock: Clock;
  /** Gets the value of each `Authorization` that was fetched, before it is used: a secret that logs must not show. */
  onToken?(header: string): void;
}

interface Token {
  readonly header: string;
  readonly freshUntil: number;
}

/** A token is not used in its last minute, nor in its second half where it lives shorter than two. */
const MARGIN_MS = 60_000;
const DEFAULT_LIFETIME_MS = 5 * 60_000;
const MAX_LIFETIME_MS = 24 * 60 * 60_000;
const TOKEN_TIMEOUT_MS = 10_000;
/** Between two renewals because of a 401: a server that refuses every token does not turn calls into token requests. */
const RENEWAL_PAUSE_MS = 10_000;
/** RFC 6749 §5.2. Only these words of the endpoint's are repeated, and to operators only. */
const ERROR_CODES = new Set([
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "unauthorized_client",
  "unsupported_grant_type",
  "invalid_scope",
  "invalid_target",
]);

/**
 * Tokens of the client credentials grant (RFC 6749 §4.4), with scope, audience and resource (RFC 8707). One request at a
 * time, however many calls wait for it; a token is kept until a minute before it expires. Errors name the endpoint's origin,
 * status and error code; never a secret.
 */
export function clientCredentials(settings: OAuthSettings, { pool, clock, onToken }: OAuthDeps): Authorization {
  let token: Token | null = null;
  let pending: Promise<Token> | null = null;
  let renewedAt = Number.NEGATIVE_INFINITY;

  const fetchToken = (): Promise<Token> =>
    (pending ??= requestToken(settings, pool, clock)
      .then((next) => {
        onToken?.(next.header);
        return (token = next);
      })
      .finally(() => (pending = null)));

  return {
    current() {
      if (token !== null && clock.now() < token.freshUntil) return token.header;
      return fetchToken().then(({ header }) => header);
    },
    async renew(refused) {
      if (token !== null && token.header !== refused) return token.header;
      if (pending === null && clock.now() - renewedAt < RENEWAL_PAUSE_MS) return null;
      renewedAt = clock.now();
      token = null;
      return fetchToken().then(
        ({ header }) => header,
        () => null,
      );
    },
  };
}

async function requestToken(settings: OAuthSettings, pool: () => Dispatcher, clock: Clock): Promise<Token> {
  const url = new URL(settings.tokenUrl);
  const headers = ["content-type", "application/x-www-form-urlencoded", "accept", "application/json"];
  const form = new URLSearchParams({ grant_type: "client_credentials" });
  if (settings.scopes.length > 0) form.set("scope", settings.scopes.join(" "));
  if (settings.audience !== null) form.set("audience", settings.audience);
  if (settings.resource !== null) form.set("resource", settings.resource);
  if (settings.clientAuth === "basic") {
    headers.push("authorization", basic(settings.clientId, settings.clientSecret));
  } else {
    form.set("client_id", settings.clientId);
    form.set("client_secret", settings.clientSecret);
  }
  const sentAt = clock.now();
  const answer = await sendShort(pool(), {
    path: url.pathname + url.search,
    method: "POST",
    headers,
    body: form.toString(),
    timeoutMs: TOKEN_TIMEOUT_MS,
  });
  return readToken(url.origin, answer, sentAt);
}

/** RFC 6749 §2.3.1: both parts are form-encoded first. */
function basic(id: string, secret: string): string {
  const encode = (text: string): string => new URLSearchParams([["", text]]).toString().slice(1);
  return `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString("base64")}`;
}

/** @throws GatewayError `upstream.refused`, `upstream.unavailable` or `upstream.protocol` */
function readToken(origin: string, { status, body }: ShortAnswer, sentAt: number): Token {
  const fields = fieldsOf(body);
  if (status !== 200) {
    const { error } = fields;
    const code = typeof error === "string" && ERROR_CODES.has(error) ? ` (${error})` : "";
    throw new GatewayError(status >= 500 || status === 429 ? "upstream.unavailable" : "upstream.refused", {
      detail: `the token endpoint at ${origin} answered ${status}${code}`,
    });
  }
  const { access_token: value, token_type: type, expires_in: expiresIn } = fields;
  if (typeof value !== "string" || !isBearer(type))
    throw new GatewayError("upstream.protocol", { detail: `the token endpoint at ${origin} gave no bearer token` });
  // Some endpoints send the number as a string.
  const seconds = Number(expiresIn ?? Number.NaN);
  const lifetime = Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : DEFAULT_LIFETIME_MS;
  const use = Math.min(MAX_LIFETIME_MS, Math.max(lifetime - MARGIN_MS, lifetime / 2));
  return { header: `Bearer ${bearerToken(value)}`, freshUntil: sentAt + use };
}

function fieldsOf(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** RFC 6749 §5.1: required, and without regard to case. Some endpoints leave it out. */
function isBearer(type: unknown): boolean {
  return type === undefined || (typeof type === "string" && type.toLowerCase() === "bearer");
}
