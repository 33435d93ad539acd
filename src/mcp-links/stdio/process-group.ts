import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** Between looks at whether a group is empty: processes other than our child end without an event that we could await. */
const POLL_MS_MIN = 2;
const POLL_MS_MAX = 100;
/** A process that SIGKILL has not ended by then hangs in the kernel, and nothing here can end it. */
const KILL_PATIENCE_MS = 10_000;

/** Sends a signal to every process of a group. False when there is none (any more). */
export function signalGroup(pgid: number, signal: NodeJS.Signals | 0): boolean {
  // 0, 1 and negatives would mean our own group, or every process there is.
  if (!Number.isSafeInteger(pgid) || pgid <= 1) return false;
  try {
    process.kill(-pgid, signal);
    return true;
  } catch (error) {
    // EPERM: something is there that we may not signal, such as a setuid program.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Whether a process of the group still runs. A zombie that its new parent has not reaped does not count. */
export function isGroupAlive(pgid: number): boolean {
  if (!signalGroup(pgid, 0)) return false;
  if (process.platform !== "linux") return true;
  return processIds().some((pid) => isLiveMember(pid, pgid));
}

function processIds(): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
}

function isLiveMember(pid: string, pgid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // proc_pid_stat(5): the name is in parentheses and may hold any character; state, ppid and pgrp follow it.
    const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return group === String(pgid) && state !== "Z" && state !== "X";
  } catch {
    return false;
  }
}

/**
 * Waits until nothing of the group runs any more: for its leader, our child, by its event, for the others by looking.
 *
 * @returns false when `timeoutMs` came first
 */
export async function waitForGroupEnd(pgid: number, leaderGone: Promise<void>, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  if (!(await endsWithin(leaderGone, timeoutMs))) return false;
  for (let pollMs = POLL_MS_MIN; ; pollMs = Math.min(pollMs * 2, POLL_MS_MAX)) {
    if (!isGroupAlive(pgid)) return true;
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) return false;
    await delay(Math.min(pollMs, leftMs));
  }
}

async function endsWithin(event: Promise<void>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  const late = delay(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  const ended = await Promise.race([event.then(() => true), late]);
  timer.abort();
  return ended;
}

/**
 * Ends a group: asks with SIGTERM, and after `graceMs` kills. Resolves when nothing of it runs.
 *
 * @returns false only where SIGKILL does not end a process, which then hangs in the kernel
 */
export async function endGroup(pgid: number, leaderGone: Promise<void>, graceMs: number): Promise<boolean> {
  if (!signalGroup(pgid, "SIGTERM")) return waitForGroupEnd(pgid, leaderGone, graceMs);
  if (await waitForGroupEnd(pgid, leaderGone, graceMs)) return true;
  signalGroup(pgid, "SIGKILL");
  return waitForGroupEnd(pgid, leaderGone, KILL_PATIENCE_MS);
}
