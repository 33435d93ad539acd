import { readFileSync } from "node:fs";
import { CliFailure, EXIT } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

export interface SecretSources {
  /** What is asked for, such as "API key". */
  readonly what: string;
  /** The first line of standard input holds it. */
  readonly stdin?: boolean | undefined;
  /** Path of a file that holds it. */
  readonly file?: string | undefined;
  /** Name of a variable that holds it, as the user chose. */
  readonly variable?: string | undefined;
  /** A variable that is looked at when no other source was chosen. */
  readonly fallbackVariable?: string;
  /** What to type when there is no terminal to ask on. */
  readonly hint: string;
}

/**
 * A secret from standard input, a file, a variable or a hidden prompt; never from the command line, which
 * every user of the machine can read and shells keep. @throws CliFailure
 */
export async function readSecret(terminal: Terminal, sources: SecretSources): Promise<string> {
  const { what, stdin, file, variable, fallbackVariable } = sources;
  const chosen = [stdin === true, file !== undefined, variable !== undefined].filter(Boolean).length;
  if (chosen > 1) throw usage(`Give the ${what} in one way only.`);
  if (stdin) return checked(what, await firstLine(terminal.stdin));
  if (file !== undefined) return checked(what, readFile(what, file));
  if (variable !== undefined)
    return checked(what, terminal.env[variable] ?? "", `The variable ${variable} is not set.`);
  const fallback = fallbackVariable === undefined ? undefined : terminal.env[fallbackVariable];
  if (fallback) return checked(what, fallback);
  if (!terminal.stdin.isTTY || !terminal.stderr.isTTY) throw usage(`The ${what} is needed. ${sources.hint}`);
  const { isCancel, password } = await import("@clack/prompts");
  const answer = await password({ message: what, input: terminal.stdin, output: terminal.stderr });
  return checked(what, isCancel(answer) ? cancelled() : answer);
}

/** A value that is not secret: the option, else a question. @throws CliFailure without a terminal */
export async function askFor(
  terminal: Terminal,
  { given, what, option }: { given: string | undefined; what: string; option: string },
): Promise<string> {
  if (given !== undefined) return given;
  if (!terminal.stdin.isTTY || !terminal.stderr.isTTY) throw usage(`The ${what} is needed: ${option}`);
  const { isCancel, text } = await import("@clack/prompts");
  const answer = await text({
    message: what,
    input: terminal.stdin,
    output: terminal.stderr,
    validate: (value) => (value?.trim() ? undefined : "Please write something."),
  });
  return isCancel(answer) ? cancelled() : answer.trim();
}

async function firstLine(stdin: NodeJS.ReadStream): Promise<string> {
  let read = "";
  for await (const chunk of stdin.setEncoding("utf8")) {
    read += String(chunk);
    if (read.includes("\n") || read.length > 65_536) break;
  }
  return read.split(/\r?\n/)[0] ?? "";
}

function readFile(what: string, path: string): string {
  try {
    return readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch {
    throw usage(`The file of the ${what} cannot be read: ${path}`);
  }
}

function checked(what: string, secret: string, missing = `The ${what} is empty.`): string {
  if (secret === "") throw usage(missing);
  if (/\p{Cc}/u.test(secret)) throw usage(`The ${what} has line breaks or control characters.`);
  return secret;
}

function usage(message: string): CliFailure {
  return new CliFailure(EXIT.usage, message, { code: "cli.usage" });
}

function cancelled(): never {
  throw new CliFailure(EXIT.failure, "Cancelled.", { code: "cli.cancelled" });
}
