import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { acceptsJson, checkHostAndOrigin, readAgentId } from "./front-door.ts";

describe("the front door", () => {
  it.each([
    [undefined, true],
    ["*/*", true],
    ["application/json", true],
    ["Application/JSON; charset=utf-8", true],
    ["application/json, text/event-stream", true],
    ["text/html, application/*;q=0.8", true],
    ["application/json;q=0.5", true],
    ["application/json;q=0", false],
    ["application/json; q=0.000", false],
    ["text/event-stream", false],
    ["application/jsonl", false],
    ["", false],
  ])("takes Accept: %s as %s", (accept, expected) => {
    expect(acceptsJson(accept)).toBe(expected);
  });

  it("lets an agent name itself with what is safe in a path, a label and a log, and nothing else", () => {
    const allowed = /^(?!\.{1,2}$)[A-Za-z0-9._:@-]{1,128}$/;
    fc.assert(
      fc.property(fc.string({ maxLength: 140, unit: "binary-ascii" }), (name) => {
        if (allowed.test(name)) expect(readAgentId({ "x-agent-id": name })).toBe(name);
        else expect(() => readAgentId({ "x-agent-id": name })).toThrow("invalid X-Agent-ID");
      }),
      { examples: [["."], [".."], ["..."], ["a\n"], [""], ["a b"]] },
    );
    expect(readAgentId({})).toBeNull();
  });

  it("compares hosts and origins whole, so that a name which merely contains ours is a stranger", () => {
    const door = { allowedHosts: ["gw.example.com"], allowedOrigins: ["console.example.com"] };
    const check = (host: string, origin?: string) => () =>
      checkHostAndOrigin({ host, ...(origin !== undefined && { origin }) }, door);
    expect(check("gw.example.com:8443")).not.toThrow();
    expect(check("gw.example.com", "https://console.example.com:9000")).not.toThrow();
    for (const host of ["gw.example.com.evil.net", "evil.net/gw.example.com", "xgw.example.com", ""])
      expect(check(host), host).toThrow("this Host is not served here");
    for (const origin of ["https://console.example.com.evil.net", "https://gw.example.com", "null", "file://"])
      expect(check("gw.example.com", origin), origin).toThrow("this Origin may not call");
  });
});
