import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { afterAll, beforeAll, expect, it } from "vitest";

const MIB = 1024 * 1024;
/** Half of the bodies below. Usually 10 to 80 MiB are seen: the noise of a garbage-collected heap. */
const GROWTH_BYTES = 200 * MIB;
const BODY_BYTES = 400 * MIB;
const PIECE = Buffer.alloc(MIB, "x");

let upstream: Server;
let child: ChildProcessByStdio<Writable, Readable, null>;
let lines: Interface;
let gateway: { url: string; secret: string };

beforeAll(async () => {
  upstream = createServer((req, res) => {
    if (req.method === "GET") {
      res.writeHead(200, { "content-length": BODY_BYTES });
      writeBody(res);
    } else {
      let received = 0;
      req.on("data", (chunk: Buffer) => (received += chunk.length));
      req.on("end", () => res.end(String(received)));
    }
  });
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  const origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  const script = new URL("../support/gateway-process.ts", import.meta.url).pathname;
  child = spawn(process.execPath, [script, origin], { stdio: ["pipe", "pipe", "inherit"] });
  lines = createInterface(child.stdout);
  gateway = JSON.parse(await nextLine()) as typeof gateway;
});
afterAll(async () => {
  child.stdin.end();
  await once(child, "close");
  await new Promise((resolve) => upstream.close(resolve));
});

async function nextLine(): Promise<string> {
  const [line] = (await once(lines, "line")) as [string];
  return line;
}

async function residentBytes(): Promise<number> {
  child.stdin.write("\n");
  return Number(await nextLine());
}

function writeBody(to: Writable): void {
  let left = BODY_BYTES;
  const pump = () => {
    while (left > 0) {
      left -= PIECE.length;
      if (!to.write(PIECE)) break;
    }
    if (left > 0) to.once("drain", pump);
    else to.end();
  };
  pump();
}

/** Runs an exchange and returns the most by which the gateway's memory grew at 16 moments on the way. */
async function growthDuring(
  method: "GET" | "POST",
  headers: Record<string, string>,
): Promise<{ growth: number; bytes: number; body: string }> {
  const before = await residentBytes();
  let most = before;
  let bytes = 0;
  let body = "";
  const call = request(`${gateway.url}/v1/proxy/x`, {
    method,
    headers: { authorization: `Bearer ${gateway.secret}`, ...headers },
  });
  if (method === "POST") writeBody(call);
  else call.end();
  const sample = async () => (most = Math.max(most, await residentBytes()));
  const samples: Promise<unknown>[] = [];
  let sampling = Promise.resolve<unknown>(undefined);
  const socketOf = () => call.socket?.bytesWritten ?? 0;
  let seen = 0;
  const watch = setInterval(() => {
    const moved = bytes + socketOf();
    if (moved - seen < BODY_BYTES / 16) return;
    seen = moved;
    samples.push((sampling = sampling.then(sample)));
  }, 5);
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  answer.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (method === "POST") body += chunk.toString();
  });
  await once(answer, "end");
  clearInterval(watch);
  await Promise.all(samples);
  await sample();
  return { growth: most - before, bytes, body };
}

it("a download of 400 MiB grows the gateway by less than half of that", async () => {
  const { growth, bytes } = await growthDuring("GET", {});
  expect(bytes).toBe(BODY_BYTES);
  expect(growth).toBeLessThan(GROWTH_BYTES);
});

it("an upload of 400 MiB of known length grows the gateway by less than half of that", async () => {
  const { growth, body } = await growthDuring("POST", { "content-length": String(BODY_BYTES) });
  expect(body).toBe(String(BODY_BYTES));
  expect(growth).toBeLessThan(GROWTH_BYTES);
});

it("an upload of 400 MiB in chunks grows the gateway by less than half of that", async () => {
  const { growth, body } = await growthDuring("POST", { "transfer-encoding": "chunked" });
  expect(body).toBe(String(BODY_BYTES));
  expect(growth).toBeLessThan(GROWTH_BYTES);
});
