/**
 * Weakness M10: keys in query strings end up in logs, histories and `Referer`. The gateway takes none there, unless a
 * service opts in, then under a name of its own, and never passes it on.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
beforeAll(async () => void (stage = await startStage()));
afterAll(() => stage[Symbol.asyncDispose]());
beforeEach(() => void (stage.upstream.received.length = 0));

it.each(["bifrost_key", "key", "api_key", "access_token"])(
  "?%s= is no key where the service did not opt in",
  async (name) => {
    const key = await stage.key({}, { maxUses: 1 });
    const answer = await stage.raw(`GET /v1/proxy/x?${name}=${key.secret}`);
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(answer).toContain('"code":"key.missing"');
    expect(answer).not.toContain(key.secret);
    expect(stage.upstream.received).toEqual([]);
    await stage.echo(key, "GET /v1/proxy/x");
  },
);

it("a service that opts in takes only bifrost_key, and the upstream's own `key` parameter passes", async () => {
  const key = await stage.key({ allowKeyInQuery: true });
  expect(await stage.raw(`GET /v1/proxy/x?key=${key.secret}`)).toContain('"code":"key.missing"');
  expect(await stage.raw(`GET /v1/proxy/x?key=theirs&bifrost_key=${key.secret}`)).toMatch(/^HTTP\/1\.1 200 /);
  expect(stage.upstream.received.at(-1)?.url).toBe("/x?key=theirs");
});

it("a key in a header wins, and one in the query beside it is still not passed on", async () => {
  const key = await stage.key();
  const other = await stage.key();
  for (const inQuery of [key.secret, other.secret, "nonsense"]) {
    expect((await stage.echo(key, `GET /v1/proxy/x?bifrost_key=${inQuery}`)).url).toBe("/x");
    expect(stage.upstream.received.at(-1)?.headers["x-bifrost-key-id"]).toBe(key.id);
  }
});

it("a second bifrost_key is not passed on either", async () => {
  const key = await stage.key({ allowKeyInQuery: true });
  await stage.raw(`GET /v1/proxy/x?bifrost_key=${key.secret}&a=1&bifrost_key=${key.secret}`);
  expect(stage.upstream.received.at(-1)?.url).toBe("/x?a=1");
});
