import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { acceptsJson, checkHostAndOrigin, frontDoorFor, readAgentId } from "./front-door.ts";

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

  it("lets in only local names and pages on a loopback listener, and only listed pages elsewhere", () => {
    const local = ["localhost", "127.0.0.1", "[::1]"];
    const given = { publicUrl: "https://gw.example.com/", corsOrigins: ["https://console.example.com:8443"] };
    for (const host of ["127.0.0.1", "::1", "localhost", "127.0.0.2"]) {
      const door = frontDoorFor({ host, publicUrl: null, corsOrigins: [] });
      expect(new Set(door.allowedHosts)).toEqual(new Set([...local, host]));
      expect(door.allowedOrigins).toEqual(local);
    }
    const localDoor = frontDoorFor({ host: "127.0.0.1", ...given });
    expect(localDoor.allowedHosts).toContain("gw.example.com");
    for (const host of ["0.0.0.0", "::", "10.0.0.5", "gw.example.com", "127.evil.com"]) {
      const door = frontDoorFor({ host, ...given });
      expect(door).toEqual({ allowedHosts: null, allowedOrigins: ["gw.example.com", "console.example.com"] });
    }
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
