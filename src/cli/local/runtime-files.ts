import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { Config } from "../../config/model.ts";

const Running = z.object({ pid: z.int().positive(), url: z.string(), started_at: z.string() });
const ReloadResult = z.object({
  id: z.string(),
  ok: z.boolean(),
  /** Each with place, message and remedy; never a value. */
  problems: z.array(z.object({ place: z.string(), message: z.string(), remedy: z.string() })),
});

export type Running = z.output<typeof Running>;
export type ReloadResult = z.output<typeof ReloadResult>;

/** The two small files by which a running gateway and `bifrost reload` find and answer each other. No secrets. */
export function runtimeFiles(config: Pick<Config, "dataDir">) {
  const pidFile = join(config.dataDir, "gateway.json");
  const reloadFile = join(config.dataDir, "reload.json");
  return {
    pidFile,
    readRunning: () => read(pidFile, Running),
    writeRunning: (running: Running) => write(pidFile, running),
    /** Only if it is still ours: another gateway may have been started meanwhile. */
    removeRunning(pid: number) {
      if (read(pidFile, Running)?.pid === pid) rmSync(pidFile, { force: true });
    },
    readReload: () => read(reloadFile, ReloadResult),
    writeReload: (result: ReloadResult) => write(reloadFile, result),
  };
}

function read<T>(path: string, schema: z.ZodType<T>): T | null {
  try {
    return schema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return null;
  }
}

function write(path: string, content: unknown): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.tmp`, `${JSON.stringify(content)}\n`, { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}
