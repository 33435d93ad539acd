import { fileURLToPath } from "node:url";
import { cpus } from "node:os";
import { join } from "node:path";
import { startGateway } from "./gateway.ts";
import { bundledGenerator, checkTarget, wrkGenerator, type LoadGenerator, type Target } from "./load.ts";
import { measureInterleaved, soak, type Contestant } from "./measure.ts";
import { startCheapUpstream, startNginxProxy } from "./nginx.ts";
import type { Options } from "./options.ts";
import { installPeer, nodesForPeer, nodeVersion, peerTarget, peerVersion, startPeerOnBestNode } from "./peer.ts";
import { findProgram, freePort, pinSelf, placement, residentMib, start, type Running } from "./processes.ts";
import { describeProfile, profileOptions } from "./profile.ts";
import { latencyTable, summary, workloadTable, type Findings } from "./report.ts";
import { memoryTrend } from "./stats.ts";
import { holdStreams, timeToFirstByteMs } from "./streams.ts";
import { CHEAP_BODY, COMPLETION, PATH, REQUEST_BODY } from "./wire.ts";

const FIRST_BYTE_SAMPLES = 100;
const STREAM_PAUSE_MS = 100;

type Keep = <R extends Running>(running: R) => R;

/** What is running and how each contestant is reached. */
interface Field {
  readonly generator: LoadGenerator;
  readonly proxyCore: number | null;
  readonly post: readonly Contestant[];
  readonly get: readonly Contestant[];
  readonly notes: readonly string[];
  readonly versions: Record<string, unknown>;
}

/** Starts everyone, measures, prints the tables and, last, one line of JSON. Rejects when a response was wrong. */
export async function runBench(options: Options, folder: string, keep: Keep): Promise<void> {
  const say = options.json ? (): void => {} : (text: string): void => void process.stdout.write(`${text}\n`);
  const field = await assemble(options, folder, keep, say);
  for (const note of field.notes) say(note);
  for (const { name, target } of [...field.post, ...field.get]) await checkTarget(name, target);
  await warmUp(field, options);

  const { rounds, seconds, connections } = options;
  const plan = { rounds, seconds, connections, proxyCore: field.proxyCore };
  say(
    `\nPOST, ${REQUEST_BODY.length} bytes, Node upstream, ${connections} connections, ${rounds} rounds of ${seconds} s:`,
  );
  const post = await measureInterleaved(field.post, field.generator, plan);
  say(workloadTable(post, "bare"));
  say(`\nGET, cheap upstream, ${connections} connections, ${rounds} rounds of ${seconds} s:`);
  const get = await measureInterleaved(field.get, field.generator, plan);
  say(workloadTable(get, "nginx"));
  const shortly = { ...plan, connections: 1, seconds: Math.max(1, Math.floor(seconds / 2)) };
  const single = await measureInterleaved(field.post, field.generator, shortly);

  const findings: Findings = {
    post,
    get,
    single,
    firstByteMs: await firstBytes(field, say),
    ...(await gatewayAlone(field, options, say)),
  };
  say("\nOne connection, POST, and server-sent events:");
  say(latencyTable(findings));
  sayAlone(findings, options, say);
  for (const { name, target } of [...field.post, ...field.get]) await checkTarget(name, target);
  process.stdout.write(`${summary(findings, { ...field.versions, options })}\n`);
}

/** Prints where the gateway's own CPU time goes under the POST load, start included. */
export async function runProfile(options: Options, folder: string, keep: Keep): Promise<void> {
  const where = placement();
  if (where) pinSelf(where.load);
  const wrk = options.wrk ? findProgram("wrk") : null;
  const generator = wrk ? wrkGenerator(wrk, folder, where?.load) : bundledGenerator(folder, where?.load);
  const upstream = keep(await startNode("upstream.ts", where?.upstream, []));
  const profiles = join(folder, "profile");
  const ports = { post: upstream.port, get: upstream.port };
  const own = keep(await startGateway(folder, where?.proxy, ports, profileOptions(profiles)));
  await checkTarget("gateway", own.post);
  await generator.run(own.post, options.connections, options.seconds * options.rounds);
  await own.stop();
  for (const line of describeProfile(profiles, 40)) process.stdout.write(`${line}\n`);
}

/** Nobody's stream may fail but the peer's: what it answered is printed, and its figure is n/a. */
async function firstBytes(field: Field, say: (text: string) => void): Promise<Map<string, number>> {
  const figures = new Map<string, number>();
  for (const { name, target } of field.post) {
    try {
      await timeToFirstByteMs(target, 20);
      figures.set(name, await timeToFirstByteMs(target, FIRST_BYTE_SAMPLES));
    } catch (error) {
      if (name !== "peer") throw error;
      say(`\npeer, server-sent events: n/a, ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return figures;
}

/** What is only asked of the gateway: open streams and steady memory. */
async function gatewayAlone(
  field: Field,
  options: Options,
  say: (text: string) => void,
): Promise<Pick<Findings, "streams" | "soak" | "peakRssMib">> {
  const own = field.post.find(({ name }) => name === "gateway");
  if (own === undefined || own.pid === null) return { streams: null, soak: null, peakRssMib: null };
  const pid = own.pid;
  const streams =
    options.streams === 0 ? null : await holdStreams(own.target, options.streams, options.events, STREAM_PAUSE_MS);
  if (options.soak > 0) say(`\nsteady load on the gateway for ${options.soak} s …`);
  const steady =
    options.soak === 0 ? null : await soak({ ...own, pid }, field.generator, options.connections, options.soak);
  const peakRssMib = residentMib(pid).peak;
  if (steady === null) return { streams, soak: null, peakRssMib };
  const trend = memoryTrend(steady.samplesMib);
  return { streams, soak: { seconds: options.soak, ...trend, peakMib: Math.max(...steady.samplesMib) }, peakRssMib };
}

function sayAlone(findings: Findings, options: Options, say: (text: string) => void): void {
  const { streams, soak: steady, peakRssMib } = findings;
  if (streams) {
    say(
      `\n${streams.heldAtOnce} of ${streams.asked} SSE streams open at once; ${streams.complete} delivered all ` +
        `${options.events} events in order.`,
    );
  }
  if (peakRssMib !== null) say(`Gateway, highest RSS of the whole run: ${peakRssMib.toFixed(0)} MiB.`);
  if (steady) {
    say(
      `RSS under ${steady.seconds} s of steady load: ${steady.early.toFixed(0)} MiB after warm-up, ` +
        `${steady.late.toFixed(0)} MiB at the end (${steady.flat ? "flat" : "NOT flat"}).`,
    );
  }
}

async function warmUp(field: Field, options: Options): Promise<void> {
  if (options.warmup === 0) return;
  for (const { target } of [...field.post, ...field.get]) {
    await field.generator.run(target, options.connections, options.warmup);
  }
}

async function assemble(options: Options, folder: string, keep: Keep, say: (text: string) => void): Promise<Field> {
  const where = placement();
  const notes: string[] = [];
  const versions: Record<string, unknown> = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length };
  if (where) pinSelf(where.load);
  notes.push(
    where
      ? `Proxy alone on core ${where.proxy}; load generator on core ${where.load}, upstream on core ${where.upstream}.`
      : "Nothing is pinned (taskset or a second core is missing): the figures disturb each other.",
  );

  const nginx = findProgram("nginx");
  if (nginx === null) notes.push("nginx: n/a, and GET goes to a small Node upstream (apt-get install -y nginx-light).");
  const wrk = options.wrk ? findProgram("wrk") : null;
  const generator = wrk ? wrkGenerator(wrk, folder, where?.load) : bundledGenerator(folder, where?.load);
  if (wrk === null) notes.push("wrk: not used, the bundled load generator is slower (apt-get install -y wrk).");
  versions["load_generator"] = generator.name;
  versions["get_upstream"] = nginx ? "nginx return 200" : "node";

  const upstream = keep(await startNode("upstream.ts", where?.upstream, []));
  const cheap = nginx ? keep(await startCheapUpstream(nginx, folder, where?.upstream)) : upstream;
  const post: Contestant[] = [{ name: "direct", pid: null, target: plainPost(upstream.port) }];
  const get: Contestant[] = [{ name: "direct", pid: null, target: plainGet(cheap.port) }];
  const wanted = (name: string): boolean => options.only === null || options.only.includes(name);

  if (nginx && wanted("nginx")) {
    const toNode = keep(await startNginxProxy(nginx, folder, where?.proxy, upstream.port));
    const toCheap = keep(await startNginxProxy(nginx, folder, where?.proxy, cheap.port));
    post.push({ name: "nginx", pid: toNode.pid, target: plainPost(toNode.port) });
    get.push({ name: "nginx", pid: toCheap.pid, target: plainGet(toCheap.port) });
  }
  if (wanted("bare")) {
    const toNode = keep(await startNode("bare.ts", where?.proxy, [`http://127.0.0.1:${upstream.port}`]));
    const toCheap = keep(await startNode("bare.ts", where?.proxy, [`http://127.0.0.1:${cheap.port}`]));
    post.push({ name: "bare", pid: toNode.pid, target: plainPost(toNode.port) });
    get.push({ name: "bare", pid: toCheap.pid, target: plainGet(toCheap.port) });
  }
  if (wanted("gateway")) {
    const own = keep(await startGateway(folder, where?.proxy, { post: upstream.port, get: cheap.port }));
    post.push({ name: "gateway", pid: own.pid, target: own.post });
    get.push({ name: "gateway", pid: own.pid, target: own.get });
  }
  if (wanted("peer")) {
    const peer = await addPeer(options, where?.proxy, upstream.port, generator, keep, say);
    post.push({ name: "peer", pid: peer.running.pid, target: peerTarget(peer.running.port, upstream.port) });
    versions["peer"] = peer.described;
    notes.push(`peer: ${peer.described}. POST only: it has no plain GET.`);
  }
  return { generator, proxyCore: where?.proxy ?? null, post, get, notes, versions };
}

async function addPeer(
  options: Options,
  core: number | undefined,
  upstreamPort: number,
  generator: LoadGenerator,
  keep: Keep,
  say: (text: string) => void,
): Promise<{ running: Running; described: string }> {
  installPeer(say);
  const chosen = options.peerNode === null ? null : { path: options.peerNode, version: nodeVersion(options.peerNode) };
  const nodes = chosen ? [chosen] : nodesForPeer();
  const { running, choice } = await startPeerOnBestNode(nodes, core, upstreamPort, keep, (target, seconds) =>
    generator.run(target, options.connections, seconds),
  );
  return { running, described: `${peerVersion()} on ${choice}` };
}

async function startNode(file: string, core: number | undefined, args: readonly string[]): Promise<Running> {
  const port = await freePort();
  const program = fileURLToPath(new URL(file, import.meta.url));
  return start([process.execPath, program, ...args, String(port)], { core, port });
}

function plainPost(port: number): Target {
  return {
    url: `http://127.0.0.1:${port}${PATH}`,
    method: "POST",
    body: REQUEST_BODY,
    headerSets: [{ "content-type": "application/json", authorization: "Bearer bench-upstream-credential" }],
    expectedBody: COMPLETION,
  };
}

function plainGet(port: number): Target {
  const url = `http://127.0.0.1:${port}/v1/models`;
  const headers = { authorization: "Bearer bench-upstream-credential" };
  return { url, method: "GET", body: null, headerSets: [headers], expectedBody: CHEAP_BODY };
}
