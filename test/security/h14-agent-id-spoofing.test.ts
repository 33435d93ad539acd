/**
 * Weakness H14: agent-id spoofing. Upstreams trust `X-Bifrost-*` to say which key and agent calls. Whoever could
 * send them through the gateway would be anyone.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
beforeAll(async () => void (stage = await startStage()));
afterAll(() => stage[Symbol.asyncDispose]());

/** As a CGI-like upstream (WSGI, Rack, PHP) names headers: `-` and `_` are one. */
const asCgi = (rawHeaders: readonly string[]) =>
  rawHeaders.flatMap((name, i) =>
    i % 2 === 0 ? [[name.toUpperCase().replace(/[^A-Z0-9]/g, "_"), rawHeaders[i + 1] ?? ""] as const] : [],
  );

describe("a forged identity header", () => {
  it.each([
    "X-Bifrost-Agent-ID",
    "x-bifrost-agent-id",
    "X-BIFROST-KEY-ID",
    "X-Bifrost-Identity",
    "X-Bifrost-Anything",
    "X_Bifrost_Agent_ID",
    "X-Bifrost_Key-ID",
    "X.Bifrost.Agent.ID",
    "X-Agent-ID",
  ])("%s never reaches the upstream, in no spelling that it could take for ours", async (name) => {
    for (const source of ["api", "mcp"] as const) {
      const key = await stage.key({}, { source, agentId: "genuine" });
      await stage.echo(key, "GET /v1/proxy/x", [`${name}: forged`, `${name}: forged-twice`]);
      const seen = asCgi(stage.upstream.received.at(-1)?.rawHeaders ?? []).filter(([header]) =>
        /BIFROST|AGENT/.test(header),
      );
      expect(seen).toEqual([
        ["X_BIFROST_KEY_ID", key.id],
        ...(source === "mcp" ? [["X_BIFROST_AGENT_ID", "genuine"]] : []),
      ]);
    }
  });

  it("of the upstream itself never reaches the client", async () => {
    await using other = await startStage(
      {},
      { "/x": (_req, res) => void res.writeHead(200, { "X-Bifrost-Key-ID": "forged" }).end() },
    );
    const key = await other.key();
    expect(await other.raw("GET /v1/proxy/x", [`Authorization: Bearer ${key.secret}`])).not.toContain("forged");
  });
});
