import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** A process as it was seen: the start time tells it from a later one with the same number. */
interface Seen {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly startTicks: string;
  readonly name: string;
}

/** Watches what this process starts, and what that starts, whatever group or session it moves to. */
export interface Descendants {
  /** Remembers who is there now. */
  note(): void;
  /**
   * Who is still there of those remembered, of their process groups, and of all whose command line holds the mark; looked
   * at again for a few seconds, because the last of them may be on their way out.
   */
  left(): Promise<readonly string[]>;
}

const PATIENCE_TRIES = 50;

export function watchDescendants(mark: string): Descendants {
  const known = new Map<string, Seen>();
  const groups = new Set<number>();
  const key = ({ pid, startTicks }: Seen): string => `${pid} ${startTicks}`;

  const remaining = (): string[] => {
    const others = allProcesses().filter(({ pid }) => pid !== process.pid);
    const left = others.filter(
      (one) => known.has(key(one)) || groups.has(one.group) || commandLine(one.pid).includes(mark),
    );
    return left.map(({ pid, name }) => `${pid} ${name}`);
  };
  return {
    note() {
      for (const one of descendantsOf(process.pid, allProcesses())) {
        known.set(key(one), one);
        if (one.group !== groupOfSelf()) groups.add(one.group);
      }
    },
    async left() {
      let left = remaining();
      for (let tries = 0; left.length > 0 && tries < PATIENCE_TRIES; tries++) {
        await sleep(100);
        left = remaining();
      }
      return left;
    },
  };
}

/** Resident memory of all that a process started, in MiB, and how many they are. */
export function childrenMib(pid: number): { count: number; mib: number } {
  const children = descendantsOf(pid, allProcesses());
  const pages = children.map((child) => Number(read(`/proc/${child.pid}/statm`).split(" ")[1] ?? 0));
  return { count: children.length, mib: (pages.reduce((sum, one) => sum + one, 0) * 4096) / 2 ** 20 };
}

function groupOfSelf(): number {
  return statOf(String(process.pid))?.group ?? 0;
}

function descendantsOf(pid: number, all: readonly Seen[]): Seen[] {
  const children = all.filter((one) => one.parent === pid);
  return children.flatMap((child) => [child, ...descendantsOf(child.pid, all)]);
}

function allProcesses(): Seen[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => statOf(name) ?? []);
}

/** proc(5). Null for one that has gone, or is a zombie and waits for its parent. */
function statOf(pid: string): Seen | null {
  const stat = read(`/proc/${pid}/stat`);
  const [state, parent, group, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (state === undefined || state === "" || state === "Z") return null;
  const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
  return { pid: Number(pid), parent: Number(parent), group: Number(group), startTicks: rest[16] ?? "", name };
}

function commandLine(pid: number): string {
  return read(`/proc/${pid}/cmdline`);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
