/**
 * Weakness M9: the raw path was decoded and the query sorted on the way, which breaks ids with `%2F` (GitLab, S3) and
 * every signature over the request target. What the client sent arrives byte by byte.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
beforeAll(async () => void (stage = await startStage()));
afterAll(() => stage[Symbol.asyncDispose]());

it.each([
  "/projects/group%2Frepo/files/a%2Fb.txt?ref=main",
  "/a%20b/%C3%A4/%e4%BD%A0",
  "//double//slashes//",
  "/trailing/",
  "/a+b,c;d=e:@!$&'()*f~g",
  "/x?b=2&a=1&b=1&c",
  "/x?z;y;x=1&&&empty=&=noname&%zz&%",
  "/x?sig=a%2Bb%2fc%3D&t=+plus+",
  "/x?",
  "/x?url=https://else.test/?a=b?c",
  "/x?keys=1&not_bifrost_key=2&bifrost_keys=3",
  "?only=query",
  "",
])("%s arrives as it was sent", async (target) => {
  const key = await stage.key({}, {}, { basePath: "/base" });
  const { url } = await stage.echo(key, `GET /v1/proxy${target}`);
  expect(url).toBe(target === "/x?" ? "/base/x" : `/base${target}`);
});

it("without the key's own parameter the query keeps its order, its repetitions and its oddities", async () => {
  const key = await stage.key({ allowKeyInQuery: true });
  await stage.raw(`GET /v1/proxy/x?b=2&bifrost_key=${key.secret}&a=%2f&&b=1`);
  expect(stage.upstream.received.at(-1)?.url).toBe("/x?b=2&a=%2f&&b=1");
});
