import { isIP } from "node:net";
import { addressRange } from "../../core/address-range.ts";

/** Names by which a container reaches its host. They are private addresses, and nobody else's to answer for. */
const HOST_OF_CONTAINER = new Set(["host.docker.internal", "host.containers.internal"]);

/**
 * The addresses that a server may be reached at beside public ones: what its `allow_addresses` opens, and what its URL says
 * in so many words. URLs come from the operator's configuration only, so `http://localhost:3001/mcp` is meant; a DNS name
 * that turns out to be a private address is not. Link-local and metadata addresses are never implied.
 */
export function allowedAddresses(url: URL, allowAddresses: readonly string[]): readonly string[] {
  const host = hostOf(url);
  if (host === "localhost" || host.endsWith(".localhost")) return [...allowAddresses, "loopback"];
  if (HOST_OF_CONTAINER.has(host)) return [...allowAddresses, "private"];
  const range = isIP(host) === 0 ? "public" : addressRange(host);
  return range === "loopback" || range === "private" ? [...allowAddresses, host] : allowAddresses;
}

/** The host without the brackets of an IPv6 address. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, "");
}
