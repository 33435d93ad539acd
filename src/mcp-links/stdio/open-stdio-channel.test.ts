import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import type { GatewayError } from "../../core/errors.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { Channel, ExchangeEvents, ServerNotification } from "../types.ts";
import { openStdioChannel, type StdioDeps, type StdioLimits, type StdioTransport } from "./open-stdio-channel.ts";
import { isGroupAlive } from "./process-group.ts";
import { createReaper } from "./reaper.ts";

const server = fileURLToPath(new URL("fixtures/server.mjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "stdio-"));
const reaper = createReaper((problem) => expect.unreachable(problem));
const channels: Channel[] = [];
const stderr: string[] = [];
const noise: string[] = [];

afterEach(async () => {
  await Promise.all(channels.splice(0).map((channel) => channel.close()));
  stderr.length = 0;
  noise.length = 0;
});
afterAll(() => {
  reaper.close();
  rmSync(folder, { recursive: true });
});

const transportFor = (mode: string, more: Partial<StdioTransport> = {}): StdioTransport => ({
  kind: "stdio",
  command: process.execPath,
  args: [server, mode],
  env: { SERVER_TOKEN: "secret-token-123" },
  cwd: null,
  container: null,
  maxProcesses: 10,
  idleTimeoutMs: 0,
  ...more,
});

async function open(mode = "plain", more: Partial<StdioTransport> = {}, limits: Partial<StdioLimits> = {}) {
  const deps: StdioDeps = {
    ownEnv: { PATH: process.env["PATH"], LC_ALL: "C.UTF-8", BIFROST_ENCRYPTION_KEY: "never", DOCKER_HOST: "unix://x" },
    reaper,
    onStderrLine: (line) => stderr.push(line),
    onNoise: (why) => noise.push(why),
    limits: { graceMs: 300, ...limits },
  };
  const channel = await openStdioChannel(transportFor(mode, more), deps);
  channels.push(channel);
  return channel;
}

const events: ExchangeEvents = {
  onNotification: () => undefined,
  onRequest: () => Promise.resolve({ result: "{}" }),
};
let nextId = 0;
const ask = (
  channel: Channel,
  method: string,
  more: { params?: string; signal?: AbortSignal; on?: ExchangeEvents } = {},
) =>
  channel.request({ id: nextId++, method, params: more.params, headers: {}, signal: more.signal }, more.on ?? events);
const resultOf = (reply: Reply): unknown => ("result" in reply ? JSON.parse(reply.result) : expect.unreachable());
const pidOf = async (channel: Channel) => (resultOf(await ask(channel, "pid")) as { pid: number }).pid;
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "no error",
    (error: GatewayError) => error.code,
  );
const isGone = (pgid: number) => vi.waitFor(() => expect(isGroupAlive(pgid)).toBe(false), { timeout: 20_000 });

describe("a stdio channel", () => {
  it("answers many requests at once, each with its own result", async () => {
    const channel = await open();
    const params = (n: number) => `{"n":${n},"long":12345678901234567890,"pad":"${"y".repeat(n * 50)}"}`;
    const all = Array.from({ length: 200 }, (_, n) => ask(channel, "echo", { params: params(n) }));
    const numbers = (await Promise.all(all)).map((reply) => (resultOf(reply) as { n: number }).n);
    expect(numbers).toEqual(Array.from({ length: 200 }, (_, n) => n));
  });

  it("gives the process a few variables of the gateway's and its own, and no shell sees its arguments", async () => {
    const channel = await open("plain", { args: [server, "plain", "$HOME; touch x", "`id`"] });
    const { env, argv } = resultOf(await ask(channel, "env")) as { env: Record<string, string>; argv: string[] };
    expect(env).toEqual({
      PATH: process.env["PATH"],
      LC_ALL: "C.UTF-8",
      TERM: "dumb",
      SERVER_TOKEN: "secret-token-123",
    });
    expect(argv).toEqual(["plain", "$HOME; touch x", "`id`"]);
  });

  it("decodes characters that arrive in pieces", async () => {
    expect(resultOf(await ask(await open(), "split-characters"))).toEqual({ text: "ä€😀" });
  });

  it("skips what is no message or answers nothing, and takes the first good answer", async () => {
    const channel = await open();
    expect(resultOf(await ask(channel, "garbage"))).toEqual({ fine: true });
    expect(resultOf(await ask(channel, "echo", { params: '{"next":1}' }))).toEqual({ next: 1 });
    expect(noise.length).toBeGreaterThanOrEqual(7);
    expect(noise).toContain("not JSON");
    expect(noise).toContain("answers no open request");
  });

  it("hands progress and requests of the server to the open request, and answers with the server's id", async () => {
    const channel = await open();
    const heard: ServerNotification[] = [];
    const on: ExchangeEvents = {
      onNotification: (notification) => void heard.push(notification),
      onRequest: ({ method }) => Promise.resolve({ result: `{"asked":"${method}"}` }),
    };
    expect(resultOf(await ask(channel, "asks", { on }))).toEqual({ reply: { asked: "roots/list" } });
    await ask(channel, "progresses", { on });
    expect(heard.map(({ method }) => method)).toEqual(["notifications/progress"]);
  });

  it("ends one request, and only that, when its signal aborts", async () => {
    const channel = await open();
    const stop = new AbortController();
    const hanging = ask(channel, "hang", { signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(hanging).rejects.toThrow("enough");
    await expect(ask(channel, "echo", { signal: stop.signal })).rejects.toThrow("enough");
    expect(resultOf(await ask(channel, "echo"))).toEqual({});
  });
});

describe("a process that fails", () => {
  it("in mid-call: every open request ends with upstream.reset, later ones with upstream.unavailable", async () => {
    const channel = await open();
    const pid = await pidOf(channel);
    const open3 = [ask(channel, "hang"), ask(channel, "hang"), ask(channel, "crash")];
    expect(await Promise.all(open3.map(codeOf))).toEqual(["upstream.reset", "upstream.reset", "upstream.reset"]);
    expect(await codeOf(ask(channel, "echo"))).toBe("upstream.unavailable");
    expect(await codeOf(channel.notify("notifications/x", undefined, {}))).toBe("upstream.unavailable");
    expect(await channel.closed).toEqual({ expected: false, reason: "the process ended (signal SIGKILL)" });
    await isGone(pid);
  });

  it("at its start: the end tells its code and last words, without the values it was given", async () => {
    const channel = await open("exits");
    const end = await channel.closed;
    expect(end.expected).toBe(false);
    expect(end.reason).toBe("the process ended (exit code 3)\n  cannot start: the token [redacted] is wrong");
    expect(stderr).toEqual(["cannot start: the token secret-token-123 is wrong"]);
  });

  it("at its start: the first request ends with its code and last words, whether or not the process still read it", async () => {
    const channel = await open("exits");
    const error = await ask(channel, "initialize").then(
      () => expect.unreachable(),
      (thrown: GatewayError) => thrown,
    );
    expect(error.code).toBe("upstream.reset");
    expect(error.message).toBe("the process ended (exit code 3): cannot start: the token [redacted] is wrong");
    expect(error.publicMessage).not.toContain("token");
  });

  it("does not repeat an argument that may be a secret", async () => {
    const secret = "0123456789abcdef0123";
    const channel = await open("plain", {
      command: "sh",
      args: ["-c", 'echo "no: $0 $1" >&2; exit 1', secret, "/srv/a/long/path"],
    });
    expect((await channel.closed).reason).toBe("the process ended (exit code 1)\n  no: [redacted] /srv/a/long/path");
  });

  it("after its last answer: the answer arrives", async () => {
    const channel = await open();
    expect(resultOf(await ask(channel, "answer-and-exit"))).toEqual({ last: true });
    expect((await channel.closed).reason).toBe("the process ended (exit code 0)");
  });

  it("by an answer of 100 MiB: the channel ends with upstream.too_large, and holds no more than the limit", async () => {
    const channel = await open();
    const pid = await pidOf(channel);
    const before = process.memoryUsage().rss;
    expect(await codeOf(ask(channel, "huge"))).toBe("upstream.too_large");
    await channel.closed;
    expect(process.memoryUsage().rss - before).toBeLessThan(80 * 1024 * 1024);
    await isGone(pid);
  });

  it("by closing its output while it runs: it is ended", async () => {
    const channel = await open("closes-stdout");
    expect(await codeOf(ask(channel, "echo"))).toBe("upstream.reset");
    expect((await channel.closed).expected).toBe(false);
  });

  it("by not reading any more: requests beyond the queue are refused, and it can be closed", async () => {
    const channel = await open("plain", {}, { maxQueuedBytes: 1024 * 1024 });
    await ask(channel, "deaf-from-now");
    const params = JSON.stringify({ pad: "z".repeat(512 * 1024) });
    const codes = Array.from({ length: 8 }, () => codeOf(ask(channel, "echo", { params })));
    expect(await codes.at(-1)).toBe("upstream.unavailable");
    await channel.close();
    expect(new Set(await Promise.all(codes))).toEqual(new Set(["upstream.reset", "upstream.unavailable"]));
  });
});

describe("a command that cannot be started", () => {
  writeFileSync(join(folder, "not-executable"), "");
  it.each([
    ["that does not exist", { command: "no-such-program" }, 'command "no-such-program" was not found'],
    ["that holds its arguments", { command: "no-such-program --port 1" }, "what follows a space belongs into args"],
    ["that is no program", { command: join(folder, "not-executable") }, 'command "not-executable" may not be executed'],
    ["in a folder that does not exist", { cwd: join(folder, "missing") }, "its working directory does not exist"],
    ["with an impossible argument", { args: ["a\0b"] }, "has an argument or a variable that no program can be given"],
  ])("%s is upstream.start_failed, and says why", async (_, more, words) => {
    const error = await open("plain", more).then(
      () => expect.unreachable(),
      (thrown: GatewayError) => thrown,
    );
    expect(error.code).toBe("upstream.start_failed");
    expect(error.publicMessage).toContain(words);
    expect(error.message).toMatch(/could not be started|no folder/);
  });
});

describe("closing", () => {
  it.each(["plain", "ignores-everything", "grandchildren", "tree-ignores-sigterm", "grandchild-holds-stdout"])(
    "leaves nothing of a process that is: %s",
    async (mode) => {
      const channel = await open(mode);
      const pid = await pidOf(channel);
      const hanging = codeOf(ask(channel, "hang"));
      await Promise.all([channel.close(), channel.close()]);
      expect(isGroupAlive(pid)).toBe(false);
      expect(await hanging).toBe("upstream.reset");
      expect(await channel.closed).toEqual({ expected: true, reason: "closed" });
      await channel.close();
    },
  );

  it.each(["grandchildren", "tree-ignores-sigterm", "grandchild-holds-stdout"])(
    "happens by itself when the process dies and is: %s",
    async (mode) => {
      const channel = await open(mode);
      const pid = await pidOf(channel);
      expect(await codeOf(ask(channel, "crash"))).toBe("upstream.reset");
      await channel.closed;
      expect(isGroupAlive(pid)).toBe(false);
    },
  );

  it("removes the container, under a name that no other process of the server has", async () => {
    // Stands for docker: `docker run --name N …` serves, and `docker rm -f N` writes down what it was told.
    const runtime = join(folder, "docker");
    const log = join(folder, "removed");
    writeFileSync(
      runtime,
      `#!/bin/sh\n[ "$2" = rm ] && echo "$@" >>${log} && exit\nexec ${process.execPath} ${server}\n`,
      {
        mode: 0o755,
      },
    );
    const container = { name: "bifrost-files", runtime, runtimeArgs: ["--context=x"] };
    const args = ["--context=x", "run", "--name", "bifrost-files", "image"];
    const two = await Promise.all([1, 2].map(() => open("", { command: runtime, args, container })));
    await Promise.all(two.map((channel) => channel.close()));
    const removed = readFileSync(log, "utf8").trim().split("\n");
    expect(new Set(removed).size).toBe(2);
    for (const line of removed) expect(line).toMatch(/^--context=x rm -f bifrost-files-[0-9a-f]{12}$/);
  });
});

describe("a gateway that is killed", () => {
  const gateway = fileURLToPath(new URL("fixtures/gateway.ts", import.meta.url));

  it.each([
    ["alone", "SIGKILL", 1],
    ["with its terminal's foreground group", "SIGTERM", -1],
    ["with its terminal's foreground group", "SIGINT", -1],
  ] as const)(
    "%s by %s takes all its processes with it, their children too, and removes containers",
    async (...row) => {
      const [, signal, sign] = row;
      const mark = join(folder, `container-removed-${signal}`);
      const child = spawn(process.execPath, [gateway, mark], { stdio: ["ignore", "pipe", "inherit"], detached: true });
      const exited = once(child, "exit");
      const pids = await firstLine(child);
      expect(pids).toHaveLength(3);
      for (const pid of pids) expect(isGroupAlive(pid)).toBe(true);
      process.kill(sign * (child.pid ?? 0), signal);
      await exited;
      await Promise.all(pids.map(isGone));
      await vi.waitFor(() => expect(existsSync(mark)).toBe(true), { timeout: 20_000 });
    },
  );

  async function firstLine(child: ChildProcess): Promise<number[]> {
    let text = "";
    for await (const chunk of child.stdout ?? []) {
      text += String(chunk);
      if (text.includes("\n")) break;
    }
    return JSON.parse(text) as number[];
  }
});
