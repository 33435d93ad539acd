import { describe, expect, it } from "vitest";
import { relayedHeaders, relayedTrailers } from "./response-headers.ts";

const rules = {
  forwardCookies: false,
  origin: "https://api.example.com",
  basePath: "/base",
  mount: "/v1/proxy",
  mask: null,
};
const relay = (headers: Record<string, string | string[]>, changed: Partial<typeof rules> = {}) => {
  const raw = Object.entries(headers).flatMap(([name, value]) =>
    [value].flat().flatMap((one) => [Buffer.from(name), Buffer.from(one)]),
  );
  const connection = headers["Connection"];
  const flat = relayedHeaders(raw, connection, { ...rules, ...changed });
  return flat.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${flat[i + 1]}`] : []));
};

describe("response headers", () => {
  it("keep order, case and repetition of what may pass", () => {
    expect(relay({ "X-One": ["a", "b"], "content-TYPE": "text/plain" })).toEqual([
      "X-One: a",
      "X-One: b",
      "content-TYPE: text/plain",
    ]);
  });

  it("lose what would rule the gateway's origin, and what Connection names", () => {
    expect(
      relay({
        "Set-Cookie": "a=b",
        "Strict-Transport-Security": "max-age=1",
        "Alt-Svc": "h3",
        "Access-Control-Allow-Origin": "https://evil.example",
        "Clear-Site-Data": "*",
        "X-Bifrost-Key-ID": "forged",
        "X-Request-ID": "theirs",
        Connection: "close, X-Hop",
        "X-Hop": "1",
        "Transfer-Encoding": "chunked",
        Kept: "yes",
      }),
    ).toEqual(["Kept: yes"]);
  });

  it("confine cookies to the service where they are forwarded at all", () => {
    expect(relay({ "Set-Cookie": "a=b; Domain=example.com; Path=/; Secure" }, { forwardCookies: true })).toEqual([
      "Set-Cookie: a=b; Secure; Path=/v1/proxy",
    ]);
  });

  it.each([
    ["https://api.example.com/base/x?y#z", "/v1/proxy/x?y#z"],
    ["/base/x", "/v1/proxy/x"],
    ["/base", "/v1/proxy"],
    ["//api.example.com/base/x", "/v1/proxy/x"],
    ["next?page=2", "next?page=2"],
    ["https://files.example.net/signed?s=1", "https://files.example.net/signed?s=1"],
  ])("lead a redirect to %s back through the gateway, or leave it alone", (location, expected) => {
    expect(relay({ Location: location })).toEqual([`Location: ${expected}`]);
  });

  it.each(["https://api.example.com/admin", "/admin", "http://api.example.com:8080/base/x", "/basement"])(
    "do not give away the upstream's own address by a redirect to %s",
    (location) => expect(relay({ Location: location })).toEqual([]),
  );

  it("let trailers pass, but not framing or ours", () => {
    const raw = ["grpc-status", "0", "content-length", "9", "x-bifrost-agent-id", "x"].map((text) => Buffer.from(text));
    expect(relayedTrailers(raw, null)).toEqual([["grpc-status", "0"]]);
  });
});
