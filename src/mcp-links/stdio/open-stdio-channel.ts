import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { McpTransport } from "../../config/model.ts";
import { GatewayError } from "../../core/errors.ts";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import { notificationText, requestText } from "../../jsonrpc/message.ts";
import type { Channel, ChannelEnd } from "../types.ts";
import { nameContainer, removeContainer } from "./container.ts";
import { childEnvironment } from "./environment.ts";
import { createExchanges } from "./exchanges.ts";
import { endGroup, waitForGroupEnd } from "./process-group.ts";
import { createLineReader } from "./read-lines.ts";
import type { Reaper } from "./reaper.ts";
import { createTail } from "./tail.ts";

export type StdioTransport = Extract<McpTransport, { kind: "stdio" }>;

export interface StdioLimits {
  /** One message of the server; a longer one ends the channel. Images in results are long. */
  readonly maxMessageBytes: number;
  /** What may wait for a server that does not read; requests beyond it are refused. */
  readonly maxQueuedBytes: number;
  /** A longer line of stderr is cut. */
  readonly maxStderrLineBytes: number;
  /** For each of: ending by itself when its input ends, ending at SIGTERM. */
  readonly graceMs: number;
}

export const STDIO_LIMITS: StdioLimits = {
  maxMessageBytes: 16 * 1024 * 1024,
  maxQueuedBytes: 16 * 1024 * 1024,
  maxStderrLineBytes: 8 * 1024,
  graceMs: 2_000,
};

export interface StdioDeps {
  /** The gateway's own environment, of which a few harmless names are passed on (environment.ts). */
  readonly ownEnv: Readonly<Record<string, string | undefined>>;
  readonly reaper: Reaper;
  /** Lines of stderr, as the server wrote them but for their length: they may hold secrets. */
  readonly onStderrLine: (line: string) => void;
  /** What came on stdout and is no message, shortened; after the first hundred of a process, silence. */
  readonly onNoise: (why: string, line: string) => void;
  readonly limits?: Partial<StdioLimits>;
}

/** After the process has gone, its last output may still be in the pipe; a grandchild may hold the pipe open for ever. */
const DRAIN_MS = 250;
const MAX_NOISE = 100;
const NOISE_CHARACTERS = 500;

/**
 * Starts a server's process and speaks newline-delimited JSON-RPC with it (MCP, Transports, stdio). The command is run as an
 * argument array, never by a shell, in its own process group and with a clean environment. Whatever ends it, its whole
 * group is gone when `closed` resolves; when the gateway itself is killed, the reaper does that.
 *
 * @throws GatewayError `upstream.start_failed` when the process cannot be started. A process that starts and then dies
 *   is a channel that has ended
 */
export async function openStdioChannel(transport: StdioTransport, deps: StdioDeps): Promise<Channel> {
  const limits = { ...STDIO_LIMITS, ...deps.limits };
  const env = childEnvironment(deps.ownEnv, transport.env, transport.container !== null);
  const named = nameContainer(transport, randomBytes(6).toString("hex"));
  const removal = named.removal;
  const releaseContainer = removal && deps.reaper.guardCommand(removal.command, removal.args, env);
  let child: ChildProcessWithoutNullStreams;
  let releaseGroup: () => void;
  try {
    ({ child, releaseGroup } = await start(transport, named.args, env, deps.reaper));
  } catch (error) {
    releaseContainer?.();
    throw error;
  }
  return attach(child, limits, deps, transport, async function cleanUp(pgid, leaderGone) {
    if (!(await endGroup(pgid, leaderGone, limits.graceMs))) deps.onNoise("a process does not end", `group ${pgid}`);
    releaseGroup();
    if (removal) await removeContainer(removal, env, (problem) => deps.onStderrLine(problem));
    releaseContainer?.();
  });
}

/** Spawns, and waits until the system has started the program or refused to. */
async function start(
  transport: StdioTransport,
  args: readonly string[],
  env: Record<string, string>,
  reaper: Reaper,
): Promise<{ child: ChildProcessWithoutNullStreams; releaseGroup: () => void }> {
  if (transport.cwd !== null && !(await isFolder(transport.cwd))) {
    throw startFailed("its working directory does not exist", `no folder ${transport.cwd}`);
  }
  const name = basename(transport.command);
  let child: ChildProcessWithoutNullStreams;
  try {
    // Detached: a group of its own, so that whatever it starts can be ended with it.
    child = spawn(transport.command, args, {
      cwd: transport.cwd ?? undefined,
      env,
      detached: true,
      shell: false,
      windowsHide: true,
      stdio: ["pipe", "pipe", "pipe"],
    });
  } catch (cause) {
    throw startFailed(`command "${name}" has an argument or a variable that no program can be given`, undefined, cause);
  }
  // Before anything is awaited: from here on the process exists, and must not outlive the gateway.
  const releaseGroup = child.pid === undefined ? () => undefined : reaper.guardGroup(child.pid);
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) => reject(startFailed(explain(name, error), undefined, error)));
  }).catch((error: unknown) => {
    releaseGroup();
    throw error;
  });
  child.on("error", () => undefined);
  return { child, releaseGroup };
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function explain(name: string, error: Error): string {
  const code = "code" in error ? error.code : undefined;
  if (code === "ENOENT" && /\s/.test(name))
    return `command "${name}" was not found; what follows a space belongs into args`;
  if (code === "ENOENT") return `command "${name}" was not found; install it, or give its full path`;
  if (code === "EACCES") return `command "${name}" may not be executed; check its permissions`;
  if (code === "E2BIG") return `command "${name}" has too long arguments or variables`;
  return `command "${name}" could not be executed (${String(code)})`;
}

/** Arguments that may be a secret: what a variable put there is not marked as such, and a path or option is worth reading. */
function secretLooking(args: readonly string[]): string[] {
  return args
    .map((arg) => arg.replace(/^--?[\w-]+=/, ""))
    .filter((arg) => arg.length >= 16 && !/[/\\\s]|^[-@]/.test(arg));
}

function startFailed(why: string, detail: string | undefined, cause?: unknown): GatewayError {
  return new GatewayError("upstream.start_failed", {
    message: `the MCP server could not be started: ${why}`,
    ...(detail !== undefined && { detail }),
    cause,
  });
}

function attach(
  child: ChildProcessWithoutNullStreams,
  limits: StdioLimits,
  deps: StdioDeps,
  transport: StdioTransport,
  cleanUp: (pgid: number, leaderGone: Promise<void>) => Promise<void>,
): Channel {
  const pgid = child.pid ?? 0;
  const stderr = createTail([...Object.values(transport.env), ...secretLooking(transport.args)]);
  let noise = 0;
  const noisy = (why: string, line: string): void => {
    if (++noise <= MAX_NOISE) deps.onNoise(why, line.slice(0, NOISE_CHARACTERS));
  };
  const exchanges = createExchanges({ send: (text) => void write(text).catch(() => undefined), onNoise: noisy });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const outputEnded = new Promise<void>((resolve) => child.stdout.once("close", resolve));
  const inputEnded = new Promise<void>((resolve) => child.stdin.once("close", resolve));
  let finish: (end: ChannelEnd) => void;
  const closed = new Promise<ChannelEnd>((resolve) => (finish = resolve));
  let ending: Promise<void> | null = null;

  function write(text: JsonText): Promise<void> {
    if (ending !== null || !child.stdin.writable) {
      return Promise.reject(new GatewayError("upstream.unavailable", { detail: "the process has ended" }));
    }
    if (child.stdin.writableLength > limits.maxQueuedBytes) {
      const detail = `the process has left ${child.stdin.writableLength} bytes unread`;
      return Promise.reject(new GatewayError("upstream.unavailable", { detail }));
    }
    return new Promise((resolve, reject) => {
      child.stdin.write(`${text}\n`, (error) => {
        if (!error) resolve();
        else reject(new GatewayError("upstream.reset", { detail: "the process no longer reads", cause: error }));
      });
    });
  }

  /** The only way to the end, whatever began it. Requests fail first: nobody waits for a process to die. */
  function end(expected: boolean, why: () => string, error: () => GatewayError): Promise<void> {
    ending ??= (async () => {
      exchanges.end(error());
      child.stdin.end();
      if (expected) await waitForGroupEnd(pgid, exited, limits.graceMs);
      await cleanUp(pgid, exited);
      child.stdout.destroy();
      child.stderr.destroy();
      finish({ expected, reason: why() });
    })();
    return ending;
  }

  const how = (): string => {
    if (child.signalCode !== null) return `signal ${child.signalCode}`;
    return child.exitCode === null ? "still running" : `exit code ${child.exitCode}`;
  };
  const died = (why: string) => () => `${why} (${how()})${stderr.text()}`;
  const reset = (detail: string) => () => new GatewayError("upstream.reset", { detail });

  async function whenOver(): Promise<void> {
    await Promise.race([exited, outputEnded, inputEnded]);
    // Whichever came first, the others tell more: the last answers in the pipe, and how the process ended.
    await Promise.race([Promise.all([exited, outputEnded]), delay(DRAIN_MS)]);
    const hasExited = child.exitCode !== null || child.signalCode !== null;
    const why = hasExited ? "the process ended" : "the process closed its input or output";
    const lastWords = stderr.last();
    await end(false, died(why), reset(`${why} (${how()})${lastWords && `: ${lastWords}`}`));
  }

  function tooLong(): void {
    const detail = `a message of more than ${limits.maxMessageBytes} bytes`;
    void end(false, died(detail), () => new GatewayError("upstream.too_large", { detail }));
  }

  child.stdout.on(
    "data",
    createLineReader(limits.maxMessageBytes, (line) => exchanges.receive(line), tooLong),
  );
  const onStderr = (line: string): void => {
    stderr.add(line);
    deps.onStderrLine(line);
  };
  child.stderr.on(
    "data",
    createLineReader(limits.maxStderrLineBytes, onStderr, (start) => onStderr(`${start}…`)),
  );
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on("error", () => undefined);
  void whenOver();

  return {
    kind: "stdio",
    sessionId: null,
    closed,
    async request(request, events) {
      request.signal?.throwIfAborted();
      const reply = exchanges.begin(request.id, events, request.signal);
      write(requestText(String(request.id), request.method, request.params)).catch((error: GatewayError) => {
        // A process that no longer reads is about to be found dead, and how it died tells more.
        if (error.code !== "upstream.reset") exchanges.fail(request.id, error);
      });
      return reply;
    },
    notify: (method, params) => write(notificationText(method, params)),
    listen: (events) => exchanges.listen(events),
    async close() {
      await end(true, () => "closed", reset("closed by the gateway"));
      await closed;
    },
  };
}
