import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Redactor } from "./redactor.ts";

export interface ListedTool {
  readonly name: string;
  readonly description: string;
}

export interface ToolsFile {
  /** What a server offers now. Written a moment later, with what others offer. */
  set(server: string, tools: readonly ListedTool[]): void;
  close(): Promise<void>;
}

const DELAY_MS = 100;
const DESCRIPTION_MAX = 4_096;

/**
 * `{"servers":{"<id>":[{"name":…,"description":…}]}}`, as all servers are at the moment. Written beside and renamed, so that
 * a reader always finds a whole document.
 */
export function createToolsFile(
  path: string,
  deps: { readonly redactor: Redactor; onProblem(problem: string, error: unknown): void },
): ToolsFile {
  const servers = new Map<string, readonly ListedTool[]>();
  let timer: NodeJS.Timeout | null = null;
  let writing = Promise.resolve();
  let written = "";
  let isTroubled = false;

  async function put(): Promise<void> {
    const document = JSON.stringify({ servers: Object.fromEntries(servers) }, null, 2);
    if (document === written) return;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const beside = `${path}.${process.pid}.tmp`;
      await writeFile(beside, `${document}\n`, { mode: 0o600 });
      // The name beside may be left over from before, with other permissions.
      await chmod(beside, 0o600);
      await rename(beside, path);
      written = document;
      isTroubled = false;
    } catch (error) {
      if (!isTroubled) deps.onProblem("tools.json cannot be written; the gateway goes on without it", error);
      isTroubled = true;
    }
  }

  function flush(): Promise<void> {
    if (timer) clearTimeout(timer);
    timer = null;
    writing = writing.then(put);
    return writing;
  }

  return {
    set(server, tools) {
      servers.set(
        server,
        tools.map(({ name, description }) => ({
          name: deps.redactor.redact(name),
          description: deps.redactor.redactHead(description, DESCRIPTION_MAX),
        })),
      );
      timer ??= setTimeout(() => void flush(), DELAY_MS).unref();
    },
    close: () => (timer ? flush() : writing),
  };
}
