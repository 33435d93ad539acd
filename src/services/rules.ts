import { addressRange, isRefused } from "../core/address-range.ts";
import { isIP } from "node:net";

/** RFC 9110 §5.6.2: what a header or method name may be. */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;

/** Headers that frame the message, route it or name its sender: a credential in one would break or forge a request. */
const FRAMING =
  /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|keep-alive|expect|proxy-.*|x-bifrost-.*)$/i;

/** Whether a credential may be put into a header of this name. */
export function isInjectableHeader(name: string): boolean {
  return TOKEN.test(name) && !FRAMING.test(name);
}

/**
 * What is wrong with an origin that is an address literal, or null. Names are judged when they are connected to,
 * on every address that they resolve to then: checking them here would say nothing about later.
 */
export function refusedLiteral(origin: string, allowAddresses: readonly string[]): string | null {
  const host = new URL(origin).hostname.replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) === 0 || !isRefused(host, allowAddresses)) return null;
  return `${host} is a ${addressRange(host).replace("_", "-")} address, which needs an entry in allow_addresses`;
}
