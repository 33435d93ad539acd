import { loadConfig, type Config, ConfigError } from "../../config/load.ts";
import type { ConfigProblem } from "../../config/model.ts";
import { changesNeedingRestart } from "../../config/restart.ts";
import { newId } from "../../core/ids.ts";
import type { Logger } from "../../core/log.ts";
import { EXIT } from "../failure.ts";
import { runtimeFiles } from "./runtime-files.ts";

/** A running gateway, as `serve` needs it. */
export interface Gateway {
  listen(): Promise<{ url: string }>;
  /** Applies a checked configuration to new requests. @throws when it cannot; nothing is changed then */
  reload(config: Config): Promise<void>;
  /** Takes no new requests, lets running ones end until the configured timeout, and closes everything. */
  close(): Promise<void>;
  /** Settles when it has stopped, whoever stopped it. */
  readonly closed: Promise<void>;
  readonly setupToken: string | null;
}

interface ServeDeps {
  readonly gateway: Gateway;
  readonly config: Config;
  readonly load: () => ReturnType<typeof loadConfig>;
  readonly log: Logger;
  readonly url: string;
  /** Called once signals are handled: from here on a stop is clean. */
  readonly onReady: () => void;
}

/**
 * Keeps a listening gateway until it is told to stop: SIGTERM and SIGINT drain it, a second one ends it at
 * once; SIGHUP reloads the configuration or refuses it whole. Resolves when it has stopped.
 */
export async function superviseGateway({ gateway, config, load, log, url, onReady }: ServeDeps): Promise<void> {
  const files = runtimeFiles(config);
  let current = config;
  let reloading = Promise.resolve();

  const reload = () => {
    // One after the other: of two quick signals the later file state wins.
    reloading = reloading.then(async () => {
      const { problems, next } = await tryReload(gateway, current, load);
      if (next) current = next;
      for (const problem of problems) log.error(problem, "configuration refused");
      if (next) log.info("configuration reloaded");
      files.writeReload({ id: newId("req"), ok: next !== null, problems: [...problems] });
    });
  };

  const stopped = new Promise<void>((resolve, reject) => {
    let stopping = false;
    const stop = (signal: NodeJS.Signals) => {
      if (stopping) process.exit(EXIT.failure);
      stopping = true;
      log.info({ signal }, "stopping: running requests may end");
      gateway.close().catch(reject);
    };
    gateway.closed.then(resolve, reject);
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    process.on("SIGHUP", reload);
  });
  files.writeRunning({ pid: process.pid, url, started_at: new Date().toISOString() });
  onReady();
  try {
    await stopped;
  } finally {
    files.removeRunning(process.pid);
  }
  log.info("stopped");
}

/** Fails closed: whatever goes wrong, the gateway goes on with the configuration that it has. */
async function tryReload(
  gateway: Gateway,
  current: Config,
  load: () => Config,
): Promise<{ next: Config | null; problems: readonly ConfigProblem[] }> {
  try {
    const next = load();
    const problems = changesNeedingRestart(current, next);
    if (problems.length > 0) return { next: null, problems };
    await gateway.reload(next);
    return { next, problems: [] };
  } catch (error) {
    if (error instanceof ConfigError) return { next: null, problems: error.problems };
    const message = "the gateway could not apply it and goes on as before";
    return { next: null, problems: [{ place: "(whole)", message, remedy: "See the gateway's log, or restart it." }] };
  }
}
