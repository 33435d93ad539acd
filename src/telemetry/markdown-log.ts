import type { Redactor } from "./redactor.ts";

/** One request to a server and how it ended, for people. */
export interface Exchange {
  readonly server: string;
  readonly method: string;
  readonly tool: string | null;
  readonly outcome: "ok" | "error";
  /** Code of the failure; null for an answer. */
  readonly failure: string | null;
  readonly elapsedMs: number;
  /** Null where payloads are not logged. */
  readonly request: string | null;
  readonly response: string | null;
}

const PREVIEW_MAX = 512;
const NAME_MAX = 200;

/** A `<details>` block of gateway.md. What it quotes cannot end its fence, and names are never markup. */
export function exchangeBlock(exchange: Exchange, timestamp: string, redactor: Redactor): string {
  const { server, method, tool, outcome, failure, elapsedMs, request, response } = exchange;
  const name = (text: string) => plain(redactor.redactHead(text, NAME_MAX));
  const title = `${name(server)} ${name(method)}${tool === null ? "" : ` ${name(tool)}`}`;
  const lines = [
    "<details>",
    `<summary>${outcome === "ok" ? "✅" : "❌"} ${title} (${elapsedMs} ms)</summary>`,
    "",
    `- 🕒 ${timestamp}`,
  ];
  if (failure !== null) lines.push(`- ⚠️ ${name(failure)}`);
  for (const [label, text] of [
    ["📤 request", request],
    ["📥 response", response],
  ] as const) {
    if (text !== null) lines.push(`- ${label}`, "", ...fenced(redactor.redactHead(text, PREVIEW_MAX)));
  }
  lines.push("", "</details>", "");
  return lines.join("\n");
}

function plain(text: string): string {
  return text.replace(/[^\p{L}\p{N} ._:@/,()$-]/gu, (character) => `&#${character.codePointAt(0)};`);
}

function fenced(text: string): string[] {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  return [`${fence}json`, text, fence];
}
