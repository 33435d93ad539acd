/**
 * Weakness M14: the upstream's `Set-Cookie`, `Location` and CORS headers passed. On the gateway's origin they set
 * cookies for every other service, lead clients past the gateway, and open (or break) the gateway to browsers.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseAnswer, type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
/** What the upstream's `Location` is to be. */
let location = "";

beforeAll(async () => {
  stage = await startStage(
    {},
    {
      "/base/redirect": (_req, res) => void res.writeHead(302, { location, "content-location": location }).end(),
      "/base/cookies": (_req, res) => {
        const cookies = ["a=1; Domain=up.test; Path=/; Secure; HttpOnly", "b=2; path=/admin; SameSite=Lax"];
        res.writeHead(200, { "set-cookie": cookies, "set-cookie2": "c=3" }).end();
      },
      "/base/browser": (_req, res) => {
        res.writeHead(200, {
          "access-control-allow-origin": "https://up.test",
          "access-control-allow-credentials": "true",
          "strict-transport-security": "max-age=99999999; includeSubDomains; preload",
          "clear-site-data": '"*"',
          "service-worker-allowed": "/",
          "alt-svc": 'h3=":443"',
          refresh: "0; url=https://else.test",
          "report-to": "{}",
          nel: "{}",
        });
        res.end();
      },
    },
  );
});
afterAll(() => stage[Symbol.asyncDispose]());

async function ask(path: string, settings: Parameters<Stage["key"]>[0] = {}, mountOf?: (id: string) => string) {
  const key = await stage.key(settings, {}, { basePath: "/base" });
  const mount = mountOf?.(key.service.id) ?? "/v1/proxy";
  const answer = await stage.raw(`GET ${mount}${path}`, [
    `Authorization: Bearer ${key.secret}`,
    "Origin: https://app.test",
  ]);
  return { answer, mount, ...parseAnswer(answer) };
}

describe("a redirect of the upstream", () => {
  const origin = () => stage.upstream.origin;
  it.each([
    ["to a path of the service", () => "/base/next?a=1#b", "MOUNT/next?a=1#b"],
    ["to the service by its own origin", () => `${origin()}/base/next`, "MOUNT/next"],
    ["to the base path itself", () => "/base", "MOUNT"],
    ["relative", () => "next?x", "next?x"],
    ["to another host", () => "https://else.test/base/x", "https://else.test/base/x"],
  ])("%s leads the client through the gateway, or where it was meant to", async (_name, make, expected) => {
    location = make();
    for (const mountOf of [undefined, (id: string) => `/v1/services/${id}/proxy`]) {
      const { headers, mount } = await ask("/redirect", {}, mountOf);
      expect(headers["location"]).toBe(expected.replace("MOUNT", mount));
      expect(headers["content-location"]).toBe(expected.replace("MOUNT", mount));
    }
  });

  it.each([
    ["outside the base path", () => "/admin"],
    ["outside the base path by its own origin", () => `${origin()}/admin`],
    ["out of the base path by dot segments", () => "/base/../admin"],
    ["to the host's other port", () => "http://127.0.0.1:1/base"],
    ["to a path beside the base path", () => "/based/x"],
    ["that disguises another host as a path", () => "/\\else.test"],
  ])("%s is not told: it names what the client may not reach", async (_name, make) => {
    location = make();
    const { status, headers } = await ask("/redirect");
    expect(status).toBe(302);
    expect(headers).not.toHaveProperty("location");
    expect(headers).not.toHaveProperty("content-location");
  });
});

describe("a cookie of the upstream", () => {
  it("is not set on the gateway's origin", async () => {
    expect((await ask("/cookies")).answer).not.toMatch(/set-cookie/i);
  });

  it("where the service forwards cookies, is confined to the service's part of the gateway", async () => {
    const { answer } = await ask("/cookies", { forwardCookies: true }, (id) => `/v1/services/${id}/proxy`);
    const cookies = [...answer.matchAll(/set-cookie: (.*)\r\n/gi)].map((match) => match[1] ?? "");
    expect(cookies).toHaveLength(2);
    for (const cookie of cookies) {
      expect(cookie).toMatch(/; Path=\/v1\/services\/[^/]+\/proxy$/);
      expect(cookie).not.toMatch(/domain|path=\/admin|path=\/;/i);
    }
    expect(cookies[0]).toContain("HttpOnly");
  });
});

it("headers that would make the upstream's rules the rules of the gateway's origin end at the gateway", async () => {
  const { status, answer } = await ask("/browser");
  expect(status).toBe(200);
  expect(answer).not.toMatch(
    /access-control|strict-transport|clear-site|service-worker|alt-svc|refresh|report-to|nel:/i,
  );
});
