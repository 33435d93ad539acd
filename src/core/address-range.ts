import { isIPv4, isIPv6 } from "node:net";

/** What kind of place an address is. Everything but `public` is refused to upstream connections by default. */
export type AddressRange = "public" | "loopback" | "private" | "link_local" | "metadata" | "special";

/** Names that a service's `allow_addresses` may hold beside CIDR blocks and single addresses. */
export const RANGE_NAMES = ["loopback", "private", "link_local"] as const;

interface Block {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

/** From the IANA special-purpose address registries (RFC 6890 and its updates). First match wins. */
const RANGES: readonly (readonly [Block, AddressRange])[] = (
  [
    // Where clouds answer with credentials to whoever asks. Some lie in otherwise public or private space.
    ["169.254.169.254/32", "metadata"],
    ["169.254.170.2/32", "metadata"],
    ["169.254.170.23/32", "metadata"],
    ["100.100.100.200/32", "metadata"],
    ["168.63.129.16/32", "metadata"],
    ["192.0.0.192/32", "metadata"],
    ["fd00:ec2::254/128", "metadata"],
    ["fd00:ec2::23/128", "metadata"],
    ["fd20:ce::254/128", "metadata"],
    ["0.0.0.0/8", "special"],
    ["10.0.0.0/8", "private"],
    ["100.64.0.0/10", "private"],
    ["127.0.0.0/8", "loopback"],
    ["169.254.0.0/16", "link_local"],
    ["172.16.0.0/12", "private"],
    ["192.0.0.0/24", "special"],
    ["192.0.2.0/24", "special"],
    ["192.88.99.0/24", "special"],
    ["192.168.0.0/16", "private"],
    ["198.18.0.0/15", "special"],
    ["198.51.100.0/24", "special"],
    ["203.0.113.0/24", "special"],
    ["224.0.0.0/3", "special"],
    ["0.0.0.0/0", "public"],
    ["::1/128", "loopback"],
    ["64:ff9b:1::/48", "private"],
    ["fc00::/7", "private"],
    ["fec0::/10", "private"],
    ["fe80::/10", "link_local"],
    // Teredo, ORCHID and other protocol assignments; documentation.
    ["2001::/23", "special"],
    ["2001:db8::/32", "special"],
    ["3fff::/20", "special"],
    // Only this block is assigned as global unicast; all else (unspecified, multicast, unassigned) is not public.
    ["2000::/3", "public"],
    ["::/0", "special"],
  ] as const
).map(([cidr, range]) => [parseBlock(cidr) as Block, range]);

/** IPv6 forms that carry an IPv4 address, and the byte where it starts. The traffic ends at that address. */
const EMBEDDINGS: readonly (readonly [Block, number])[] = (
  [
    ["::ffff:0:0/96", 12], // IPv4-mapped (RFC 4291 §2.5.5.2)
    ["::ffff:0:0:0/96", 12], // IPv4-translated (RFC 2765 §2.1)
    ["64:ff9b::/96", 12], // NAT64 (RFC 6052)
    ["2002::/16", 2], // 6to4 (RFC 3056)
  ] as const
).map(([cidr, at]) => [parseBlock(cidr) as Block, at]);

/**
 * What an address is. IPv6 forms of an IPv4 address (mapped, translated, NAT64, 6to4, ISATAP) are what that
 * address is. A zone (`%eth0`) is ignored. Text that is no address is `special`, so it is refused.
 */
export function addressRange(address: string): AddressRange {
  const bytes = parseAddress(address);
  return bytes ? rangeOf(unwrap(bytes)) : "special";
}

/**
 * Whether a connection to the address must be refused. Fails closed: anything but a public address needs an
 * entry. The names of {@link RANGE_NAMES} open their range; a CIDR block or address opens what it holds. Cloud
 * metadata addresses are opened by an entry for exactly that address only, by no name and no wider block.
 *
 * @param address of the socket, as connected to; never a host name
 * @param allowAddresses entries for which {@link isAllowEntry} holds; others open nothing
 */
export function isRefused(address: string, allowAddresses: readonly string[]): boolean {
  const bytes = parseAddress(address);
  if (!bytes) return true;
  const inner = unwrap(bytes);
  const range = rangeOf(inner);
  if (range === "public") return false;
  return !allowAddresses.some((entry) => {
    if (entry === range) return (RANGE_NAMES as readonly string[]).includes(range);
    const block = parseBlock(entry);
    if (!block || (range === "metadata" && block.bits !== block.bytes.length * 8)) return false;
    return contains(block, inner) || contains(block, bytes);
  });
}

/** Whether a text can stand in `allow_addresses`: a range name, an address, or a CIDR block. */
export function isAllowEntry(text: string): boolean {
  return (RANGE_NAMES as readonly string[]).includes(text) || parseBlock(text) !== null;
}

function rangeOf(bytes: Uint8Array): AddressRange {
  return RANGES.find(([block]) => contains(block, bytes))?.[1] ?? "special";
}

function unwrap(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 4) return bytes;
  const at = EMBEDDINGS.find(([block]) => contains(block, bytes))?.[1];
  if (at !== undefined) return bytes.subarray(at, at + 4);
  // ISATAP (RFC 5214 §6.1): interface identifier ::0:5efe:a.b.c.d or ::200:5efe:a.b.c.d under any prefix. Only a
  // reason to refuse: a public inner address must not make a private prefix look public.
  const isIsatap = bytes[8] !== undefined && (bytes[8] & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e;
  if (isIsatap && bytes[11] === 0xfe && rangeOf(bytes) === "public") return bytes.subarray(12);
  return bytes;
}

function contains(block: Block, bytes: Uint8Array): boolean {
  if (block.bytes.length !== bytes.length) return false;
  const whole = block.bits >> 3;
  for (let i = 0; i < whole; i++) if (block.bytes[i] !== bytes[i]) return false;
  const rest = block.bits & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return ((block.bytes[whole] ?? 0) & mask) === ((bytes[whole] ?? 0) & mask);
}

function parseBlock(text: string): Block | null {
  const [address = "", bits, ...rest] = text.split("/");
  const bytes = address.includes("%") ? null : parseAddress(address);
  if (!bytes || rest.length > 0) return null;
  const size = bytes.length * 8;
  if (bits === undefined) return { bytes, bits: size };
  return /^\d{1,3}$/.test(bits) && Number(bits) <= size ? { bytes, bits: Number(bits) } : null;
}

/** Network-order bytes: 4 or 16. Only the forms that net.isIP accepts: no octal, hex or short IPv4. */
function parseAddress(text: string): Uint8Array | null {
  const plain = text.split("%", 1)[0] ?? "";
  if (isIPv4(plain)) return Uint8Array.from(plain.split("."), Number);
  if (!isIPv6(plain)) return null;
  const [head = "", tail] = plain.split("::");
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const bytes = new Uint8Array(16);
  bytes.set(front);
  bytes.set(back, 16 - back.length);
  return bytes;
}

function groups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
