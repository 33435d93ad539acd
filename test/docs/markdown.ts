import { readdirSync, readFileSync } from "node:fs";

export interface CodeBlock {
  readonly language: string;
  /** What follows the language: `test` marks a block that runs here. */
  readonly words: readonly string[];
  readonly code: string;
  readonly line: number;
}

/** The fenced code blocks of a document, in order. */
export function codeBlocks(path: string): CodeBlock[] {
  const text = readFileSync(path, "utf8");
  return [...text.matchAll(/^```(\w+)(?: ([^\n]*))?\n(.*?)^```$/gms)].map((match) => ({
    language: match[1] ?? "",
    words: (match[2] ?? "").split(" ").filter((word) => word !== ""),
    code: match[3] ?? "",
    line: text.slice(0, match.index).split("\n").length,
  }));
}

/** Every document that people read here. */
export function documents(): string[] {
  const under = (folder: string) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md"))
      .map((name) => `${folder}/${name}`);
  return [...readdirSync(".").filter((name) => name.endsWith(".md")), ...under("docs")].sort();
}
