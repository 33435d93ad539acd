import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isOrigin, parseEndpoint } from "./upstream-address.ts";

describe("a service's endpoint", () => {
  it.each([
    ["https://api.openai.com", "https://api.openai.com", ""],
    ["https://api.openai.com/", "https://api.openai.com", ""],
    ["HTTPS://API.OpenAI.com:443/v1/", "https://api.openai.com", "/v1"],
    ["http://10.0.0.1:8080/a/b", "http://10.0.0.1:8080", "/a/b"],
    ["http://[::1]:9/x", "http://[::1]:9", "/x"],
    ["https://example.com/a%2Fb/..c/%2e%2ed", "https://example.com", "/a%2Fb/..c/%2e%2ed"],
  ])("%s is origin %s and base path %j", (text, origin, basePath) => {
    expect(parseEndpoint(text)).toEqual({ origin, basePath });
  });

  it.each([
    "",
    "api.openai.com",
    "//api.openai.com",
    "https:",
    "https://",
    "https:///etc/passwd",
    "https:api.openai.com",
    "https:\\\\api.openai.com",
    "https://api.openai.com\\@evil.example",
    "https://user@api.openai.com",
    "https://user:pass@api.openai.com",
    "https://@api.openai.com",
    "https://api.openai.com?x=1",
    "https://api.openai.com/?x=1",
    "https://api.openai.com/#frag",
    "https://api.openai.com#frag",
    "https://api.openai.com/a/../b",
    "https://api.openai.com/a/./b",
    "https://api.openai.com/%2e%2E/b",
    "https://api.openai.com/.%2e",
    "https://api.openai.com/a//b",
    "https://api.openai.com/a b",
    " https://api.openai.com",
    "https://api.openai.com/\n",
    "https://api.openai.com/\u0000",
    "https://ex\u00e4mple.com",
    "ftp://api.openai.com",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://api.openai.com:99999",
    `https://example.com/${"a".repeat(2_048)}`,
  ])("%j is refused", (text) => {
    expect(parseEndpoint(text)).toBeNull();
  });

  it("never yields anything but an origin and a path that stay themselves when parsed again", () => {
    const piece = fc.constantFrom("http", "https", "://", ":", "/", "//", "\\", "@", "?", "#", ".", "..", "%2e", "%2f");
    const host = fc.constantFrom("a.example", "[::1]", "127.1", "0x7f.1", "2130706433", "\t", " ", ":80", "user", "é");
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, host, fc.string()), { maxLength: 10 }), (parts) => {
        const address = parseEndpoint(parts.join(""));
        if (address === null) return;
        expect(isOrigin(address.origin)).toBe(true);
        const again = new URL(`${address.origin}${address.basePath}/x`);
        expect(again.origin).toBe(address.origin);
        expect(again.pathname).toBe(`${address.basePath}/x`);
        expect(parseEndpoint(address.origin + address.basePath)).toEqual(address);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("an origin", () => {
  it.each(["https://api.openai.com", "http://127.0.0.1:8080", "http://[::1]"])("%s is one", (text) => {
    expect(isOrigin(text)).toBe(true);
  });
  it.each(["https://api.openai.com/", "https://API.openai.com", "https://api.openai.com:443", "null", "*", "data:,"])(
    "%s is none",
    (text) => {
      expect(isOrigin(text)).toBe(false);
    },
  );
});
