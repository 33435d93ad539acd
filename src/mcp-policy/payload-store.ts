import { randomBytes } from "node:crypto";
import { lstat, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../core/clock.ts";
import type { JsonText } from "../jsonrpc/json-slice.ts";
import { memberText } from "../jsonrpc/json-slice.ts";
import { describeShape, preview } from "./describe-payload.ts";
import { contentLength, contentTexts, isErrorResult, isInputRequired } from "./tool-result.ts";

/** Puts results that are too long for a conversation into files, and tells the agent where they are. */
export interface PayloadStore {
  /**
   * The result as it is, or one that names the file it was put into. Errors of tools, and what asks
   * the client for something, are never put away. Where the file
   * cannot be written the answer is an error that says so, and not the long result. Never rejects.
   *
   * The answer has no `structuredContent`: what a tool's `outputSchema` promises is in the file. Where there was some, the
   * answer is marked `isError`, because only then may it be missing (2025-11-25, Tools, Output Schema).
   */
  shrink(result: JsonText): JsonText | Promise<JsonText>;
  /** Removes files that are past their age. Runs by itself, too. */
  sweep(): Promise<void>;
  close(): void;
  /** Files there are now. */
  readonly count: number;
}

export interface PayloadOptions {
  /**
   * Absolute. Made at start, for this user only; a folder that is there keeps its permissions. Below one where everybody may
   * write it must be this user's alone.
   */
  readonly dir: string;
  /** What stands for `dir` in paths told to agents; null: `dir` itself. */
  readonly pathPrefix: string | null;
  /** Results of more bytes are put away; null: none ever is. */
  readonly thresholdBytes: number | null;
  readonly maxAgeMs: number;
  /** All files together; one that would exceed it is not written. */
  readonly maxTotalBytes: number;
  readonly clock: Clock;
  readonly onProblem: (problem: string, error: unknown) => void;
}

export const PAYLOAD_MAX_TOTAL_BYTES = 1024 * 1024 * 1024;

const INSTRUCTIONS =
  "The result was too long for this conversation and was saved as a JSON file at payloadPath. payloadSchema shows its " +
  "structure and types, payloadPreview its beginning. Read the file for the values; it is removed after some time.";
const NAME = /^[0-9a-f]{32}$/;
const SWEEP_MS_MIN = 1_000;
const SWEEP_MS_MAX = 60_000;

interface Stored {
  readonly bytes: number;
  readonly sinceMs: number;
}

/**
 * Files are `dir/<32 random hex digits>/payload.json`, readable by this user only. Their names have nothing to do with whose
 * they are, so that whoever is not told one cannot guess it. What an earlier run left is swept like our own.
 */
export function createPayloadStore(options: PayloadOptions): PayloadStore {
  const { thresholdBytes, dir, clock } = options;
  if (thresholdBytes === null) {
    return { shrink: (result) => result, sweep: () => Promise.resolve(), close: () => undefined, count: 0 };
  }
  const files = new Map<string, Stored>();
  let totalBytes = 0;
  let isAdopted: Promise<void> | null = null;

  /** What is in the folder already. Once, before the first file or sweep. */
  async function adopt(): Promise<void> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await assertOwn(dir);
    for (const name of (await readdir(dir)).filter((one) => NAME.test(one))) {
      // Without a file when another gateway is just about to write it, or was killed there.
      const found = await stat(join(dir, name, "payload.json")).catch(() => stat(join(dir, name)));
      note(name, { bytes: found.isFile() ? found.size : 0, sinceMs: found.mtimeMs });
    }
  }

  const ready = (): Promise<void> => {
    isAdopted ??= adopt().catch((error: unknown) => {
      isAdopted = null;
      throw error;
    });
    return isAdopted;
  };

  function note(name: string, stored: Stored): void {
    files.set(name, stored);
    totalBytes += stored.bytes;
  }

  async function drop(name: string): Promise<void> {
    await rm(join(dir, name), { recursive: true, force: true });
    totalBytes -= files.get(name)?.bytes ?? 0;
    files.delete(name);
  }

  async function sweep(): Promise<void> {
    try {
      await ready();
      const before = clock.now() - options.maxAgeMs;
      // Oldest first, as they were added; those of an earlier run are few and looked at each time.
      for (const [name, { sinceMs }] of files) if (sinceMs <= before) await drop(name);
    } catch (error) {
      options.onProblem("old payload files could not be removed", error);
    }
  }

  async function save(payload: string): Promise<string> {
    await ready();
    const name = randomBytes(16).toString("hex");
    const bytes = Buffer.byteLength(payload);
    if (totalBytes + bytes > options.maxTotalBytes) throw new Error("the payload folder is full");
    // Counted before the first await, so that parallel results do not exceed the total together.
    note(name, { bytes, sinceMs: clock.now() });
    try {
      await mkdir(join(dir, name), { mode: 0o700 });
      const file = await open(join(dir, name, "payload.json"), "wx", 0o600);
      try {
        await file.writeFile(payload);
      } finally {
        await file.close();
      }
    } catch (error) {
      await drop(name).catch(() => undefined);
      throw error;
    }
    return [options.pathPrefix?.replace(/\/+$/, "") ?? dir, name, "payload.json"].join("/");
  }

  async function putAway(result: JsonText): Promise<JsonText> {
    const { text, value } = payloadOf(result);
    const isStructured = memberText(result, "structuredContent") !== undefined;
    let payloadPath: string;
    try {
      payloadPath = await save(text);
    } catch (error) {
      options.onProblem("a payload file could not be written", error);
      const size = Buffer.byteLength(result);
      return asResult(
        `The result has ${size} bytes, more than the ${thresholdBytes} this gateway passes on, and could not be saved to a file. Ask for less at once.`,
        true,
      );
    }
    const metadata = {
      agentInstructions: INSTRUCTIONS,
      payloadPath,
      payloadPreview: preview(text),
      payloadSchema: describeShape(value),
      originalSize: Buffer.byteLength(text),
    };
    return asResult(JSON.stringify(metadata), isStructured);
  }

  const timer = setInterval(() => void sweep(), Math.min(Math.max(options.maxAgeMs, SWEEP_MS_MIN), SWEEP_MS_MAX));
  timer.unref();
  void sweep();

  return {
    get count() {
      return files.size;
    },
    shrink(result) {
      // No character has more than three bytes per UTF-16 unit, so most results need not be measured.
      if (result.length * 3 <= thresholdBytes) return result;
      if (result.length <= thresholdBytes && Buffer.byteLength(result) <= thresholdBytes) return result;
      return isErrorResult(result) || isInputRequired(result) ? result : putAway(result);
    },
    sweep,
    close: () => clearInterval(timer),
  };
}

/**
 * In a folder where everybody may write, such as /tmp, somebody else may have made this one first, and could put other
 * results in place of ours.
 */
async function assertOwn(dir: string): Promise<void> {
  const isOpenToAll = ((await stat(dirname(dir))).mode & 0o002) !== 0;
  if (!isOpenToAll || process.getuid === undefined) return;
  const found = await lstat(dir);
  if (found.isDirectory() && found.uid === process.getuid() && (found.mode & 0o022) === 0) return;
  throw new Error(`${dir} is not this user's alone; remove it, or set gateway.payload_dir to another folder`);
}

function asResult(text: string, isError: boolean): JsonText {
  return JSON.stringify({ content: [{ type: "text", text }], ...(isError && { isError }) });
}

/** What is worth a file: the data itself where the result is nothing but data, else the whole result. */
function payloadOf(result: JsonText): { readonly text: string; readonly value: unknown } {
  const [text] = contentTexts(result);
  const value = parse(text);
  const isData = contentLength(result) === 1 && typeof value === "object" && value !== null;
  const structured = parse(memberText(result, "structuredContent"));
  if (text !== undefined && isData && (structured === undefined || isDeepStrictEqual(structured, value))) {
    return { text, value };
  }
  return { text: result, value: parse(result) };
}

function parse(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
