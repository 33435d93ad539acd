// Load generator for machines without wrk: each connection sends its next request when the last is answered.
import { readFileSync } from "node:fs";
import { Client } from "undici";
import type { Target } from "./load.ts";
import { percentile } from "./stats.ts";

interface Order {
  readonly target: Target;
  readonly connections: number;
  readonly seconds: number;
}

const order: Order = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8"));
const { target } = order;
const url = new URL(target.url);
const latenciesUs: number[] = [];
let bytes = 0;
let failures = 0;
let turn = 0;

const startMs = performance.now();
const endMs = startMs + order.seconds * 1000;
await Promise.all(Array.from({ length: order.connections }, () => drive(new Client(url.origin))));
const durationUs = (performance.now() - startMs) * 1000;
console.log(
  JSON.stringify({
    requests: latenciesUs.length,
    durationUs,
    bytes,
    failures,
    p50Us: percentile(latenciesUs, 0.5),
    p99Us: percentile(latenciesUs, 0.99),
  }),
);

async function drive(client: Client): Promise<void> {
  while (performance.now() < endMs) {
    const sentMs = performance.now();
    await once(client).catch(() => failures++);
    latenciesUs.push((performance.now() - sentMs) * 1000);
  }
  await client.close();
}

function once(client: Client): Promise<void> {
  const headers = target.headerSets[turn++ % target.headerSets.length] ?? {};
  return new Promise((resolve, reject) => {
    client.dispatch(
      { path: url.pathname, method: target.method, headers, body: target.body },
      {
        onRequestStart() {},
        onResponseStart(_controller, status) {
          if (status < 200 || status > 299) failures++;
        },
        onResponseData(_controller, chunk) {
          bytes += chunk.length;
        },
        onResponseEnd: () => resolve(),
        onResponseError: (_controller, error) => reject(error),
      },
    );
  });
}
