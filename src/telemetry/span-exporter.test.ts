import { createServer } from "node:http";
import { afterEach, expect, it } from "vitest";
import type { EndedSpan } from "./otlp.ts";
import { createSpanExporter } from "./span-exporter.ts";

const ends: (() => void)[] = [];
afterEach(() => ends.splice(0).forEach((end) => end()));

const span = (name: string): EndedSpan => ({
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  parentSpanId: null,
  name,
  kind: "client",
  startMs: 1_700_000_000_000.25,
  endMs: 1_700_000_000_001.5,
  attributes: { text: "a", count: 3, share: 0.5, yes: true },
  events: [{ name: "seen", atMs: 1_700_000_000_001 }],
  error: "upstream.timeout",
});

/** @param answer status, or null to say nothing at all */
async function collector(answer: () => number | null) {
  const bodies: { resourceSpans: { scopeSpans: { spans: unknown[] }[] }[] }[] = [];
  const headers: unknown[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (part: string) => (text += part));
    request.on("end", () => {
      bodies.push(JSON.parse(text));
      headers.push({ ...request.headers, path: request.url });
      const status = answer();
      if (status !== null) response.writeHead(status).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  ends.push(() => void (server.closeAllConnections(), server.close()));
  const address = server.address();
  const problems: string[] = [];
  const exporter = createSpanExporter({
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/v1/traces`,
    headers: { authorization: "Bearer of-the-collector" },
    timeoutMs: 300,
    resource: { "service.name": "test" },
    version: "1",
    redact: (text) => text.replaceAll("a-secret", "[REDACTED]"),
    onProblem: (problem) => problems.push(problem),
  });
  const names = () => bodies.flatMap(({ resourceSpans: [one] }) => one?.scopeSpans[0]?.spans ?? []);
  return { exporter, bodies, headers, problems, names };
}

it("what is left goes to the collector at the close, as OTLP, with its headers and without secrets", async () => {
  const { exporter, bodies, headers } = await collector(() => 200);
  exporter.add(span("with a-secret"));
  await exporter.close();
  expect(headers).toMatchObject([{ path: "/v1/traces", authorization: "Bearer of-the-collector" }]);
  expect(bodies).toEqual([
    {
      resourceSpans: [
        {
          resource: { attributes: [{ key: "service.name", value: { stringValue: "test" } }] },
          scopeSpans: [
            {
              scope: { name: "bifrost", version: "1" },
              spans: [
                {
                  traceId: "0af7651916cd43dd8448eb211c80319c",
                  spanId: "b7ad6b7169203331",
                  name: "with [REDACTED]",
                  kind: 3,
                  startTimeUnixNano: "1700000000000250000",
                  endTimeUnixNano: "1700000000001500000",
                  attributes: [
                    { key: "text", value: { stringValue: "a" } },
                    { key: "count", value: { intValue: "3" } },
                    { key: "share", value: { doubleValue: 0.5 } },
                    { key: "yes", value: { boolValue: true } },
                  ],
                  events: [{ name: "seen", timeUnixNano: "1700000000001000000" }],
                  status: { code: 2, message: "upstream.timeout" },
                },
              ],
            },
          ],
        },
      ],
    },
  ]);
});

it("a full batch is sent at once, and the rest with the close", async () => {
  const { exporter, bodies, names } = await collector(() => 200);
  for (let i = 0; i < 600; i++) exporter.add(span(`${i}`));
  await exporter.close();
  expect(names()).toHaveLength(600);
  expect(bodies).toHaveLength(3);
  expect(exporter.dropped()).toBe(0);
});

it("spans beyond what may wait are dropped and counted", async () => {
  const { exporter, names } = await collector(() => 200);
  for (let i = 0; i < 3_000; i++) exporter.add(span(`${i}`));
  await exporter.close();
  expect(names().length + exporter.dropped()).toBe(3_000);
  expect(exporter.dropped()).toBe(3_000 - 256 - 2_048);
});

it.each([
  ["refuses", () => 500],
  ["says nothing", () => null],
])("a collector that %s costs one warning, and the close ends", async (_, answer) => {
  const { exporter, problems } = await collector(answer);
  for (let i = 0; i < 1_000; i++) exporter.add(span(`${i}`));
  await exporter.close();
  expect(problems).toHaveLength(1);
  expect(exporter.dropped()).toBe(1_000);
  exporter.add(span("late"));
  expect(exporter.dropped()).toBe(1_001);
});
