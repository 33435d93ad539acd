import { describe, expect, it } from "vitest";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { createGuessThrottle, GUESS_THROTTLE_DEFAULTS, networkOf, throttledError } from "./guess-throttle.ts";

const setup = (settings: Partial<typeof GUESS_THROTTLE_DEFAULTS> = {}) => {
  const clock = createManualClock(0);
  return { clock, throttle: createGuessThrottle(clock, { ...GUESS_THROTTLE_DEFAULTS, ...settings }) };
};

describe("guess throttle", () => {
  it("refuses an address after its failures of a minute are spent, and says for how long", () => {
    const { clock, throttle } = setup();
    for (let n = 0; n < 20; n++) {
      expect(throttle.isThrottled("192.0.2.1")).toBeNull();
      throttle.recordFailure("192.0.2.1");
    }
    expect(throttle.isThrottled("192.0.2.1")).toBe(61);
    expect(throttle.isThrottled("192.0.2.2")).toBeNull();
    clock.advance(60_999);
    expect(throttle.isThrottled("192.0.2.1")).toBe(1);
    clock.advance(1);
    expect(throttle.isThrottled("192.0.2.1")).toBeNull();
  });

  it("takes a whole IPv6 /64 as one client", () => {
    const { throttle } = setup({ failuresPerMinute: 2 });
    throttle.recordFailure("2001:db8:1:2::1");
    throttle.recordFailure("2001:db8:1:2:ffff::9");
    expect(throttle.isThrottled("2001:DB8:1:2:0:0:0:77")).toBe(61);
    expect(throttle.isThrottled("2001:db8:1:3::1")).toBeNull();
  });

  it("remembers a bounded number of addresses, the latest failing ones", () => {
    const { throttle } = setup({ failuresPerMinute: 1, maxAddresses: 2 });
    for (const address of ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) throttle.recordFailure(address);
    expect(throttle.isThrottled("192.0.2.1")).toBeNull();
    expect(throttle.isThrottled("192.0.2.3")).not.toBeNull();
  });

  it("bounds the look-ups of unknown secrets over all addresses together", () => {
    const { clock, throttle } = setup({ lookupsPerSecond: 10 });
    for (let n = 0; n < 10; n++) expect(throttle.takeLookup()).toBeNull();
    expect(throttle.takeLookup()).toBe(1);
    clock.advance(100);
    expect(throttle.takeLookup()).toBeNull();
    expect(throttle.takeLookup()).toBe(1);
    clock.advance(60_000);
    for (let n = 0; n < 10; n++) expect(throttle.takeLookup()).toBeNull();
    expect(throttle.takeLookup()).toBe(1);
  });

  it("answers with a stable code and Retry-After", () => {
    expect(throttledError(7)).toMatchObject({ code: "auth.throttled", headers: { "retry-after": "7" } });
  });
});

it.each([
  ["192.0.2.1", "192.0.2.1"],
  ["::1", "0:0:0:0::/64"],
  ["::", "0:0:0:0::/64"],
  ["2001:db8::", "2001:db8:0:0::/64"],
  ["2001:0DB8:0:0:1::", "2001:db8:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["64:ff9b::192.0.2.1", "64:ff9b:0:0::/64"],
  ["1:2:3:4:5:6:7:8", "1:2:3:4::/64"],
  ["1:2:3:4:5:6:7::", "1:2:3:4::/64"],
  ["", ""],
])("the network of %s is %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});
