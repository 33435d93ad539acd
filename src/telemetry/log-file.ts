import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** A file that lines are added to. Nothing here waits for the disk but `close`. */
export interface LogFile {
  /** Takes one line, without its end, or several. Dropped, and counted, where the disk is too far behind. */
  write(line: string): void;
  /** Writes what is left, and closes. Resolves whatever the disk says. Idempotent. */
  close(): Promise<void>;
}

export interface LogFileOptions {
  /** A file above this size is kept as `<name>.1`, in the place of the one before. */
  readonly maxBytes: number;
  /** Characters that may wait for the disk. */
  readonly maxQueued: number;
  readonly flushMs: number;
  /** Lines that were not written. */
  onDropped(lines: number): void;
  /** The file cannot be written. Once, until it can be again. */
  onProblem(problem: string, error: unknown): void;
}

export const LOG_FILE_DEFAULTS = { maxBytes: 64 * 1024 * 1024, maxQueued: 4 * 1024 * 1024, flushMs: 250 };

/** What waits beyond this is written at once. */
const FLUSH_AT = 64 * 1024;
/** Not through a link that somebody put there. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

/**
 * Lines are put together and written in one piece, by one writer, a moment later; there is no fsync. Whatever is wrong with
 * the disk, callers do not notice. The file is for this user only, and so is the folder where it must be made.
 */
export function createLogFile(path: string, options: LogFileOptions): LogFile {
  let queue: string[] = [];
  let queued = 0;
  let dropped = 0;
  let timer: NodeJS.Timeout | null = null;
  let handle: FileHandle | null = null;
  let size = 0;
  let isTroubled = false;
  let writing: Promise<void> | null = null;
  let closed = false;

  function drop(lines: number): void {
    dropped += lines;
    options.onDropped(lines);
  }

  async function reopen(): Promise<FileHandle> {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const opened = await open(path, FLAGS, 0o600);
    handle = opened;
    // One of an earlier version, or made by hand.
    await opened.chmod(0o600);
    size = (await opened.stat()).size;
    return opened;
  }

  async function put(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    let target = handle ?? (await reopen());
    if (size > 0 && size + bytes.length > options.maxBytes) {
      handle = null;
      await target.close();
      await rename(path, `${path}.1`);
      target = await reopen();
    }
    for (let at = 0; at < bytes.length;) at += (await target.write(bytes, at)).bytesWritten;
    size += bytes.length;
  }

  async function writeAll(): Promise<void> {
    while (queue.length > 0) {
      const lines = queue;
      const missing = dropped;
      const note = missing > 0 ? `(${missing} lines are missing here)\n` : "";
      queue = [];
      queued = 0;
      try {
        await put(`${path.endsWith(".jsonl") ? "" : note}${lines.join("\n")}\n`);
        dropped -= missing;
        isTroubled = false;
      } catch (error) {
        drop(lines.length);
        await handle?.close().catch(() => undefined);
        handle = null;
        if (!isTroubled) options.onProblem("a log file cannot be written; the gateway goes on without it", error);
        isTroubled = true;
      }
    }
  }

  function flush(): Promise<void> {
    if (timer) clearTimeout(timer);
    timer = null;
    writing ??= writeAll().finally(() => (writing = null));
    return writing;
  }

  return {
    write(line) {
      if (closed) return;
      if (queued + line.length > options.maxQueued) return drop(1);
      queue.push(line);
      queued += line.length + 1;
      if (queued >= FLUSH_AT) void flush();
      else timer ??= setTimeout(() => void flush(), options.flushMs).unref();
    },
    async close() {
      closed = true;
      await flush();
      // A write that was under way may have been about to end.
      await flush();
      const last = handle;
      handle = null;
      await last?.close().catch(() => undefined);
    },
  };
}
