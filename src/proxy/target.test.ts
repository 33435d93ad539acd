import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isProxyTarget, parseTarget } from "./target.ts";

describe("which request targets are the proxy's", () => {
  it.each([
    "/v1/proxy",
    "/v1/proxy/",
    "/v1/proxy/a",
    "/v1/proxy?x=1",
    "/v1/services/openai/proxy",
    "/v1/services/openai/proxy/v1/x?y",
  ])("%s is", (url) => expect(isProxyTarget(url)).toBe(true));
  it.each([
    "/",
    "/v1/proxyx",
    "/v1/services/openai",
    "/v1/services/openai/proxyx",
    "/v1/services//proxy/x",
    "/v1/services/a/b/proxy",
    "http://evil/v1/proxy",
  ])("%s is not", (url) => expect(isProxyTarget(url)).toBe(false));
});

describe("splitting a target", () => {
  it("keeps path and query exactly as they were sent", () => {
    expect(parseTarget("/v1/proxy/projects/a%2Fb/x%20y?b=2&a=1&&c;d=%zz")).toMatchObject({
      serviceId: null,
      path: "/projects/a%2Fb/x%20y",
      query: "b=2&a=1&&c;d=%zz",
      mount: "/v1/proxy",
    });
  });

  it("reads the service from the path", () => {
    expect(parseTarget("/v1/services/git.hub-1/proxy/user?x")).toMatchObject({
      serviceId: "git.hub-1",
      path: "/user",
      query: "x",
      mount: "/v1/services/git.hub-1/proxy",
    });
  });

  it("takes only our own key parameter out of the query, and every one of them", () => {
    expect(parseTarget("/v1/proxy/x?key=theirs&bifrost_key=one&q=%2B&bifrost_key=two")).toMatchObject({
      query: "key=theirs&q=%2B",
      keyInQuery: "one",
    });
  });
});

/** Everything that some server somewhere resolves to a parent folder. */
const CLIMBS = [
  "/..",
  "/../admin",
  "/a/../b",
  "/a/..",
  "/.",
  "/a/./b",
  "/%2e%2e/admin",
  "/%2E./admin",
  "/.%2e/admin",
  "/a/%2e%2e%2fadmin",
  "/..%2fadmin",
  "/a%2f..%2fb",
  "/%252e%252e/admin",
  "/%25252e%25252e/admin",
  "/..%5cadmin",
  "/a%5c..%5cb",
  "/..;/admin",
  "/..;a=b/admin",
  "/%2e%2e;/admin",
  "/a\\..\\b",
  "/..%252fadmin",
];

describe("a path that could climb out of the base path", () => {
  it.each(CLIMBS)("is refused: %s", (path) => {
    expect(() => parseTarget(`/v1/proxy${path}`)).toThrow(/invalid request path/);
  });

  it.each(["/.well-known/x", "/a..b", "/..a", "/a/...", "/v1/files/%2Bx", "/a;b=1/c", "/100%25"])(
    "is told apart from harmless dots: %s",
    (path) => {
      expect(parseTarget(`/v1/proxy${path}`).path).toBe(path);
    },
  );

  it.each(["/a#b", "/a\\b", "/a%00b"])("is refused with its kin: %s", (path) => {
    expect(() => parseTarget(`/v1/proxy${path}`)).toThrow(/invalid request path/);
  });

  it("never survives, however it is encoded: what passes has no dot segment after any number of decodings", () => {
    const piece = fc.constantFrom(
      "..",
      ".",
      "%2e",
      "%2E",
      "%252e",
      "/",
      "%2f",
      "%5c",
      "\\",
      ";",
      "a",
      "%61",
      "%25",
      "b",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        let decoded: string;
        try {
          decoded = parseTarget(`/v1/proxy/${pieces.join("")}`).path;
        } catch {
          return;
        }
        for (let round = 0; round < 6; round++) {
          const segments = decoded.split(/[/\\]/).map((segment) => segment.split(";")[0]);
          expect(segments).not.toContain("..");
          expect(segments).not.toContain(".");
          decoded = decoded.replace(/%([0-9a-f]{2})/gi, (_w, hex: string) =>
            String.fromCharCode(Number.parseInt(hex, 16)),
          );
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
