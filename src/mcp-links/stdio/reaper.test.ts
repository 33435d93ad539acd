import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { isGroupAlive, signalGroup } from "./process-group.ts";
import { createReaper, type Reaper } from "./reaper.ts";

const folder = mkdtempSync(join(tmpdir(), "reaper-"));
const started: ChildProcess[] = [];
const problems: string[] = [];
let reaper: Reaper | undefined;

afterEach(() => {
  reaper?.close();
  for (const child of started.splice(0)) signalGroup(child.pid ?? 0, "SIGKILL");
  problems.length = 0;
  rmSync(folder, { recursive: true, force: true });
});

/** A process that waits, as the leader of its own group. */
function waiting(): number {
  const child = spawn("/bin/sleep", ["1000"], { detached: true, stdio: "ignore" });
  started.push(child);
  return child.pid ?? 0;
}

/** The shells of the reaper among our children. */
const shells = () =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const ours = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[1] === String(process.pid);
        return ours && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("bifrost-reaper");
      } catch {
        return false;
      }
    })
    .map(Number);

const open = () => (reaper = createReaper((problem) => problems.push(problem)));

describe.skipIf(process.platform !== "linux")("the reaper", () => {
  it("starts nothing before something is guarded, and then one shell for all groups", async () => {
    const own = open();
    expect(shells()).toEqual([]);
    own.guardGroup(waiting());
    own.guardGroup(waiting());
    await vi.waitFor(() => expect(shells()).toHaveLength(1));
    own.close();
    await vi.waitFor(() => expect(shells()).toEqual([]));
  });

  it("is started again with all its groups when it is killed", async () => {
    const own = open();
    own.guardGroup(waiting());
    await vi.waitFor(() => expect(shells()).toHaveLength(1));
    const [first = 0] = shells();
    process.kill(first, "SIGKILL");
    await vi.waitFor(() => expect(shells().filter((pid) => pid !== first)).toHaveLength(1));
    expect(problems).toEqual(["the reaper ended, and is started again"]);
  });

  it("kills nothing that was released, and nothing at all when it is closed", async () => {
    const own = open();
    const [released, kept] = [waiting(), waiting()];
    const release = own.guardGroup(released);
    own.guardGroup(kept);
    own.guardCommand("/usr/bin/touch", [join(folder, "released")], {})();
    release();
    release();
    own.close();
    await vi.waitFor(() => expect(shells()).toEqual([]));
    expect([isGroupAlive(released), isGroupAlive(kept)]).toEqual([true, true]);
    expect(existsSync(join(folder, "released"))).toBe(false);
  });

  it("survives the signals that end a gateway", async () => {
    const own = open();
    own.guardGroup(waiting());
    await vi.waitFor(() => expect(shells()).toHaveLength(1));
    const [shell = 0] = shells();
    // Once the shell has read a line, its traps are set.
    await vi.waitFor(() => {
      const ignored = /SigIgn:\s*([0-9a-f]+)/.exec(readFileSync(`/proc/${shell}/status`, "utf8"))?.[1] ?? "0";
      expect(BigInt(`0x${ignored}`) & (1n << 14n)).not.toBe(0n);
    });
    for (const signal of ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"] as const) process.kill(shell, signal);
    expect(shells()).toEqual([shell]);
    expect(problems).toEqual([]);
  });
});

it("groups that are no group of a child are never signalled", () => {
  for (const pgid of [0, 1, -1, 1.5, Number.NaN]) expect(signalGroup(pgid, "SIGKILL")).toBe(false);
});

it("a group whose only process has ended is not alive", async () => {
  const child = spawn("/bin/true", { detached: true, stdio: "ignore" });
  await once(child, "exit");
  expect(isGroupAlive(child.pid ?? 0)).toBe(false);
});
