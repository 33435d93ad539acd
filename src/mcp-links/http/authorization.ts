import { GatewayError } from "../../core/errors.ts";

/** Where the `Authorization` of requests to one server comes from. */
export interface Authorization {
  /** The header's value; at once where it is known. @throws GatewayError (also by rejecting) */
  current(): string | Promise<string>;
  /** After the server answered 401 to `refused`: another value worth one more try, or null. Never rejects. */
  renew(refused: string): Promise<string | null>;
}

/** A stored credential, sent as Bearer (RFC 6750 §2.1). A rotated one is picked up when the old one is refused. */
export function bearerAuthorization(bearer: () => Promise<string>): Authorization {
  const current = async (): Promise<string> => `Bearer ${bearerToken(await bearer())}`;
  return {
    current,
    async renew(refused) {
      const next = await current().catch(() => null);
      return next === refused ? null : next;
    },
  };
}

/** @throws GatewayError where the text cannot stand in a header; the text itself is not told */
export function bearerToken(text: string): string {
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  throw new GatewayError("upstream.refused", { detail: "the credential holds characters that no header may have" });
}
