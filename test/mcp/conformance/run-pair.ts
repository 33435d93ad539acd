import type { Config } from "../../../src/config/model.ts";
import { startGateway } from "../../support/gateway.ts";
import { startHeaderForwarder } from "../../support/header-forwarder.ts";
import { declareServer, fixtureProcess, loopback } from "../fixtures/declare.ts";
import type { Fixture } from "../fixtures/fixture.ts";
import { startV1 } from "../fixtures/v1.ts";
import { startV2 } from "../fixtures/v2.ts";
import type { Pair } from "./pairs.ts";
import { startRenameProxy } from "./rename-proxy.ts";
import { type Report, runSuite } from "./suite.ts";

const SERVER = "fixture";

/** Starts what the pair needs, runs the suite against it, and stops it. */
export async function runPair({ client, way, upstream }: Pair): Promise<Report> {
  await using ends = new AsyncDisposableStack();
  const fixture = upstream.transport === "http" ? ends.adopt(await startFixture(upstream), (f) => f.close()) : null;
  if (way === "direct") {
    if (fixture === null) throw new Error("the suite does not speak stdio");
    return await runSuite(fixture.url, client);
  }
  const transport = fixture ? loopback(fixture.url) : fixtureProcess(upstream.sdk, upstream.eras);
  const declare = (config: Config) => ({ ...config, mcpServers: [declareServer(SERVER, transport)] });
  const gateway = ends.adopt(await startGateway({}, {}, declare), (g) => g.close());
  const authorization = `Bearer ${gateway.owner.apiKey}`;
  const path = way === "routed" ? `/mcp/${SERVER}` : "/mcp";
  const front = ends.use(await startHeaderForwarder(gateway.url + path, { authorization }));
  if (client === "2026-07-28" && upstream.transport === "stdio") await startProcesses(front.url);
  if (way === "routed") return await runSuite(front.url, client);
  const renamed = ends.use(await startRenameProxy(front.url, SERVER));
  return await runSuite(renamed.url, client);
}

const startFixture = ({ sdk, eras }: Pair["upstream"]): Promise<Fixture> => (sdk === "v1" ? startV1() : startV2(eras));

/** What the client of `server-stateless` declares. */
const CAPABILITIES = [{}, { elicitation: {} }];

/**
 * Requests without a session share one process for each client and its capabilities. The suite gives some answers 600 ms,
 * which a process that has yet to start does not keep on a busy machine.
 */
async function startProcesses(url: string): Promise<void> {
  const ask = async (capabilities: object) => {
    const _meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "conformance-client", version: "1.0.0" },
      "io.modelcontextprotocol/clientCapabilities": capabilities,
    };
    const reply = await fetch(url, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "test_simple_text",
      },
      body: JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        method: "tools/call",
        params: { name: "test_simple_text", _meta },
      }),
    });
    if (!reply.ok) throw new Error(`the server did not start: ${await reply.text()}`);
    await reply.body?.cancel();
  };
  await Promise.all(CAPABILITIES.map(ask));
}
