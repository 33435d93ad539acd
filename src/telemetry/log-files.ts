import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import { createLogFile, LOG_FILE_DEFAULTS, type LogFile } from "./log-file.ts";
import { exchangeBlock, type Exchange } from "./markdown-log.ts";
import type { Redactor } from "./redactor.ts";
import { rpcRecord, type RpcMessage } from "./rpc-record.ts";
import { createToolsFile, type ListedTool } from "./tools-file.ts";

export type LineLevel = "DEBUG" | "INFO" | "WARN" | "ERROR";

/**
 * The files of one folder: mcp-gateway.log, `<server>.log`, gateway.md, rpc-messages.jsonl, tools.json. Every text is
 * redacted here, whoever gives it; nothing here throws, waits for the disk, or fails a call.
 */
export interface LogFiles {
  /** Into mcp-gateway.log. */
  line(level: LineLevel, category: string, message: string): void;
  /** Into the server's own file. */
  serverLine(server: string, level: LineLevel, category: string, message: string): void;
  /** Into rpc-messages.jsonl. */
  rpc(message: RpcMessage): void;
  /** Into gateway.md. */
  exchange(exchange: Exchange): void;
  /** Into tools.json, in place of what the server offered before. */
  tools(server: string, tools: readonly ListedTool[]): void;
  readonly withPayloads: boolean;
  /** Lines that were lost, because the disk was too slow or refused them. */
  dropped(): number;
  /** Writes what is left. Never rejects. */
  close(): Promise<void>;
}

export interface LogFilesOptions {
  /** Absolute. Made with the first line. */
  readonly dir: string;
  readonly withPayloads: boolean;
  readonly redactor: Redactor;
  readonly clock: Clock;
  onProblem(problem: string, error: unknown): void;
}

/** Names that a server's file cannot have. */
const OWN_FILES: ReadonlySet<string> = new Set(["mcp-gateway", "proxy"]);
const LINE_MAX = 16 * 1024;

export function openLogFiles(options: LogFilesOptions): LogFiles {
  const { dir, redactor, clock } = options;
  const files = new Map<string, LogFile>();
  let dropped = 0;
  const timestamp = () => new Date(clock.now()).toISOString();

  function file(name: string): LogFile {
    let found = files.get(name);
    if (!found) {
      found = createLogFile(join(dir, name), {
        ...LOG_FILE_DEFAULTS,
        onDropped: (lines) => void (dropped += lines),
        onProblem: (problem, error) => options.onProblem(problem, error),
      });
      files.set(name, found);
    }
    return found;
  }

  const gatewayLog = file("mcp-gateway.log");
  const markdown = file("gateway.md");
  const rpcLog = file("rpc-messages.jsonl");
  const toolsFile = createToolsFile(join(dir, "tools.json"), {
    redactor,
    onProblem: (problem, error) => options.onProblem(problem, error),
  });

  function lineOf(level: LineLevel, category: string, message: string): string {
    const text = redactor.redactHead(message, LINE_MAX);
    return `[${timestamp()}] [${level}] [${oneLine(category)}] ${oneLine(text)}`;
  }

  return {
    withPayloads: options.withPayloads,
    line: (level, category, message) => gatewayLog.write(lineOf(level, category, message)),
    serverLine: (server, level, category, message) =>
      file(`${OWN_FILES.has(server) ? `${server}.server` : server}.log`).write(lineOf(level, category, message)),
    rpc: (message) => rpcLog.write(rpcRecord(message, timestamp(), redactor)),
    exchange: (exchange) => markdown.write(exchangeBlock(exchange, timestamp(), redactor)),
    tools: (server, tools) => toolsFile.set(server, tools),
    dropped: () => dropped,
    async close() {
      await Promise.all([...[...files.values()].map((one) => one.close()), toolsFile.close()]);
    },
  };
}

/** What others wrote must not look like a line of ours, nor move the reader's terminal. */
function oneLine(text: string): string {
  return text.replace(CONTROLS, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

const CONTROLS = /[\p{Cc}\u2028\u2029]/gu;
