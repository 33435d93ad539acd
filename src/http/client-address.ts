import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";

/** Decides which address a request comes from, given the proxies that may be believed. */
export type ClientAddressOf = (req: IncomingMessage) => string;

/**
 * The peer's address; where the peer is a trusted proxy, the last address in `X-Forwarded-For` that is
 * not one. Without trusted proxies the header is never read: anyone can write it.
 *
 * @param trustedProxies addresses or CIDR blocks, checked by the configuration schema
 */
export function createClientAddress(trustedProxies: readonly string[]): ClientAddressOf {
  if (trustedProxies.length === 0) return (req) => plain(req.socket.remoteAddress ?? "");
  const trusted = toBlockList(trustedProxies);
  return (req) => {
    const peer = plain(req.socket.remoteAddress ?? "");
    if (!isIn(trusted, peer)) return peer;
    const header = req.headers["x-forwarded-for"];
    const hops = (typeof header === "string" ? header : "").split(",").map((hop) => plain(hop.trim()));
    for (const hop of hops.reverse()) {
      if (isIP(hop) === 0) return peer;
      if (!isIn(trusted, hop)) return hop;
    }
    return peer;
  };
}

/** A block list from addresses and CIDR blocks. @throws TypeError for anything else */
export function toBlockList(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = "", bits] = entry.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

export function isIn(list: BlockList, address: string): boolean {
  const family = isIP(address);
  return family !== 0 && list.check(address, family === 6 ? "ipv6" : "ipv4");
}

/** IPv4 as IPv4, however the socket writes it (`::ffff:192.0.2.1`). */
function plain(address: string): string {
  return address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}
