import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addressRange, isAllowEntry, isRefused } from "./address-range.ts";

const PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "172.15.0.1", "100.128.0.1", "2606:4700::1111", "2002:808:808::1"];
const REFUSED = {
  loopback: ["127.0.0.1", "127.255.255.254", "::1"],
  private: ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "fd12::1", "fc00::1", "fec0::1"],
  link_local: ["169.254.1.1", "fe80::1", "fe80::1%eth0"],
  metadata: ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"],
  special: [
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "::",
    "ff02::1",
    "2001:db8::1",
    "2001::1",
  ],
} as const;

describe("address ranges", () => {
  it.each(PUBLIC)("lets %s pass", (address) => {
    expect(isRefused(address, [])).toBe(false);
  });

  it.each(Object.entries(REFUSED).flatMap(([range, list]) => list.map((address) => [range, address] as const)))(
    "knows %s: %s",
    (range, address) => {
      expect(addressRange(address)).toBe(range);
      expect(isRefused(address, [])).toBe(true);
    },
  );

  it.each(["", "localhost", "127.1", "0177.0.0.1", "0x7f.0.0.1", "2130706433", "1.2.3.4.5", "[::1]", "::ffff:1.2.3"])(
    "refuses %j, which is no address",
    (text) => {
      expect(isRefused(text, ["loopback", "private", "0.0.0.0/0", "::/0"])).toBe(true);
    },
  );

  it("opens a named range in every form, and nothing else", () => {
    expect(isRefused("127.0.0.1", ["loopback"])).toBe(false);
    expect(isRefused("::1", ["loopback"])).toBe(false);
    expect(isRefused("::ffff:127.0.0.1", ["loopback"])).toBe(false);
    expect(isRefused("10.0.0.1", ["loopback"])).toBe(true);
    expect(isRefused("0.0.0.0", ["loopback", "private", "link_local"])).toBe(true);
  });

  it("opens a metadata address to an entry for exactly it, never to a name or a wider block", () => {
    expect(isRefused("169.254.169.254", ["link_local", "169.254.0.0/16", "0.0.0.0/0"])).toBe(true);
    expect(isRefused("100.100.100.200", ["private", "100.64.0.0/10"])).toBe(true);
    expect(isRefused("fd00:ec2::254", ["private", "::/0", "fd00::/8"])).toBe(true);
    expect(isRefused("169.254.169.254", ["169.254.169.254"])).toBe(false);
    expect(isRefused("::ffff:169.254.169.254", ["169.254.169.254/32"])).toBe(false);
  });

  it("does not let names of ranges that cannot be allowed open them", () => {
    expect(isRefused("224.0.0.1", ["special"])).toBe(true);
    expect(isRefused("169.254.169.254", ["metadata"])).toBe(true);
    expect(isAllowEntry("special")).toBe(false);
    expect(isAllowEntry("metadata")).toBe(false);
  });

  it("refuses a refused IPv4 address in every IPv6 form of it, under any spelling", () => {
    const refusedV4 = fc
      .constantFrom([127, 0], [10, 0], [192, 168], [172, 16], [169, 254], [0, 0], [224, 1])
      .chain(([a = 0, b = 0]) => fc.tuple(fc.constant(a), fc.constant(b), fc.nat(255), fc.nat(255)));
    fc.assert(
      fc.property(refusedV4, fc.boolean(), ([a, b, c, d], upper) => {
        const hex = [(a << 8) | b, (c << 8) | d].map((group) => group.toString(16)).join(":");
        const dotted = `${a}.${b}.${c}.${d}`;
        const forms = [
          dotted,
          `::ffff:${dotted}`,
          `::ffff:${hex}`,
          `0:0:0:0:0:ffff:${hex}`,
          `::ffff:0:${dotted}`,
          `64:ff9b::${dotted}`,
          `64:ff9b::${hex}`,
          `2002:${hex}::1`,
          `2606:4700::5efe:${dotted}`,
          `2606:4700::200:5efe:${dotted}`,
          `::${dotted}`,
        ];
        for (const form of forms) expect(isRefused(upper ? form.toUpperCase() : form, []), form).toBe(true);
      }),
    );
  });

  it("never says public for what the engine's own URL parser turns into a refused address", () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), (number) => {
        const { hostname } = new URL(`http://${number}/`);
        const first = number >>> 24;
        if (first === 127 || first === 10 || first === 0 || first >= 224) expect(isRefused(hostname, [])).toBe(true);
      }),
    );
  });

  it("lets a CIDR block open exactly what it holds", () => {
    fc.assert(
      fc.property(fc.nat(0xffffff), fc.nat(0xffffff), fc.integer({ min: 8, max: 32 }), (base, probe, bits) => {
        const text = (low: number) => `10.${low >>> 16}.${(low >>> 8) & 255}.${low & 255}`;
        const shift = 32 - bits;
        const inside = base >>> shift === probe >>> shift;
        expect(isRefused(text(probe), [`${text(base)}/${bits}`])).toBe(!inside);
      }),
    );
  });

  it("tells entries from other text", () => {
    for (const good of ["loopback", "private", "link_local", "10.0.0.0/8", "10.0.0.1", "fd00::/8", "::1"]) {
      expect(isAllowEntry(good), good).toBe(true);
    }
    for (const bad of [
      "",
      "all",
      "10.0.0.0/33",
      "10.0.0.0/8/8",
      "10/8",
      "fe80::1%eth0",
      "::/129",
      "10.0.0.0/-1",
      "*",
    ]) {
      expect(isAllowEntry(bad), bad).toBe(false);
    }
  });
});
