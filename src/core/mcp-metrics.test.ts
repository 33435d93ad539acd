import { expect, it } from "vitest";
import { createMetrics } from "./metrics.ts";

function start() {
  const metrics = createMetrics({ requests: () => 0 });
  const mcp = metrics.mcp((name) => name === "github", {
    sessions: () => 3,
    servers: () => [{ server: "github", isUp: true, links: 2, processes: 2, breaker: "open" }],
    payloadFiles: () => 1,
    droppedLogLines: () => 7,
    droppedSpans: () => 0,
  });
  return { mcp, text: async () => (await metrics.render()).text };
}

it("names of methods and servers that nobody configured add no series", async () => {
  const { mcp, text } = start();
  for (let i = 0; i < 1_000; i++) {
    mcp.request(`made-up-${i}`, `evil/method-${i}"\n} 1`, "refused", 0.1);
    mcp.opened(`made-up-${i}`, false);
    mcp.died(`made-up-${i}`);
  }
  mcp.request("github", "tools/call", "ok", 0.1);
  const lines = (await text()).split("\n").filter((line) => /^bifrost_mcp_(requests|link)/.test(line));
  expect(lines.sort()).toEqual(
    [
      'bifrost_mcp_link_deaths_total{server="other"} 1000',
      'bifrost_mcp_link_openings_total{server="other",ok="false"} 1000',
      'bifrost_mcp_links{server="github"} 2',
      'bifrost_mcp_requests_total{server="github",method="tools/call",outcome="ok"} 1',
      'bifrost_mcp_requests_total{server="other",method="other",outcome="refused"} 1000',
    ].sort(),
  );
});

it("the state of servers, sessions and files is looked up when metrics are read", async () => {
  const { text } = start();
  const shown = (await text()) + (await text());
  for (const line of [
    'bifrost_mcp_server_up{server="github"} 1',
    'bifrost_mcp_processes{server="github"} 2',
    'bifrost_mcp_breaker_state{server="github"} 2',
    "bifrost_mcp_sessions 3",
    "bifrost_mcp_payload_files 1",
    "bifrost_mcp_log_lines_dropped_total 7",
    "bifrost_mcp_spans_dropped_total 0",
  ]) {
    expect(shown.split("\n").filter((one) => one === line)).toHaveLength(2);
  }
});

it("a server that is not configured any more is not shown", async () => {
  const metrics = createMetrics({ requests: () => 0 });
  let names = ["old"];
  metrics.mcp((name) => names.includes(name), {
    sessions: () => 0,
    servers: () => names.map((server) => ({ server, isUp: true, links: 0, processes: 0, breaker: "closed" as const })),
    payloadFiles: () => 0,
    droppedLogLines: () => 0,
    droppedSpans: () => 0,
  });
  expect((await metrics.render()).text).toContain('bifrost_mcp_server_up{server="old"} 1');
  names = ["new"];
  const { text } = await metrics.render();
  expect(text).toContain('bifrost_mcp_server_up{server="new"} 1');
  expect(text).not.toContain('server="old"');
});
