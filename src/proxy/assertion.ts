import { createPrivateKey, type JsonWebKey, type KeyObject, sign } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import type { VirtualKey } from "../keys/model.ts";

/** A minute is enough for one hop and clock skew, and short enough that a leaked assertion is worth little. */
const LIFETIME_SECONDS = 60;

/** What the assertion says of one request, apart from who issued it and when. */
export interface AssertionFacts {
  readonly key: VirtualKey;
  readonly orgId: string;
  readonly audience: string;
  readonly method: string;
  /** The path that the upstream receives, without query. */
  readonly path: string;
  readonly requestId: string;
}

export type Asserter = (facts: AssertionFacts) => string;

/**
 * Makes `X-Bifrost-Identity`: a JWT (RFC 7519) signed with EdDSA over Ed25519 (RFC 8037), valid for a
 * minute, that says which key and which agent sends this very method and path to this very audience.
 * Upstreams verify it with `/.well-known/jwks.json`.
 *
 * @param signingKey private JWK with `kid`
 */
export function createAsserter(signingKey: JsonWebKey & { kid: string }, issuer: string, clock: Clock): Asserter {
  const privateKey: KeyObject = createPrivateKey({ key: signingKey, format: "jwk" });
  const header = base64url({ alg: "EdDSA", typ: "JWT", kid: signingKey.kid });
  return function assertIdentity({ key, orgId, audience, method, path, requestId }) {
    const issuedAt = Math.floor(clock.now() / 1_000);
    const payload = base64url({
      iss: issuer,
      sub: key.id,
      aud: audience,
      iat: issuedAt,
      nbf: issuedAt,
      exp: issuedAt + LIFETIME_SECONDS,
      jti: requestId,
      org: orgId,
      key: key.id,
      agent: key.agentId ?? (key.source === "mcp" ? key.id : null),
      source: key.source,
      method,
      path,
    });
    const signed = `${header}.${payload}`;
    return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
  };
}

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
