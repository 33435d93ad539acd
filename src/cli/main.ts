import { CommanderError } from "commander";
import { createColors } from "picocolors";
import { ConfigError } from "../config/model.ts";
import { CliFailure, EXIT } from "./failure.ts";
import { createProgram } from "./program.ts";
import { hasColor, plain, type Terminal } from "./terminal.ts";

/**
 * The `bifrost` command. Runs what the arguments say and sets the exit code (see failure.ts); never throws.
 * Expected failures are a line or a few for people, or one JSON document with `--json`, on stderr.
 */
export async function main(argv: readonly string[]): Promise<void> {
  const terminal: Terminal = { env: process.env, stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
  // `bifrost key list | head -1` closes the pipe early: that is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.failure),
  );
  process.exitCode = await runCli(argv, terminal);
}

async function runCli(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await createProgram(terminal).parseAsync([...argv], { from: "user" });
    return EXIT.ok;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return EXIT.ok;
    const failure = toFailure(thrown);
    if (failure.message !== "") report(failure, terminal, argv.includes("--json"));
    return failure.exitCode;
  }
}

function toFailure(thrown: unknown): CliFailure {
  if (thrown instanceof CliFailure) return thrown;
  if (thrown instanceof ConfigError) {
    const fields = thrown.problems.map(({ place, message, remedy }) => ({
      path: place,
      message: `${message}. ${remedy}`,
    }));
    return new CliFailure(EXIT.failure, thrown.message, { code: "config.invalid", fields });
  }
  if (thrown instanceof CommanderError) {
    // Help that stands in for a missing command was already written.
    const message = thrown.code === "commander.help" ? "" : thrown.message.replace(/^error: /, "");
    return new CliFailure(EXIT.usage, message, { code: "cli.usage" });
  }
  const message = thrown instanceof Error ? thrown.message : "unknown failure";
  return new CliFailure(EXIT.failure, `Unexpected failure: ${message}`, { code: "cli.internal" });
}

function report({ message, facts }: CliFailure, terminal: Terminal, json: boolean): void {
  const { code = "cli.failed", requestId, fields, hint } = facts;
  if (json) {
    const body = {
      error: message,
      code,
      ...(requestId === undefined ? {} : { request_id: requestId }),
      ...(fields === undefined ? {} : { fields }),
      ...(hint === undefined ? {} : { hint }),
    };
    terminal.stderr.write(`${JSON.stringify(body)}\n`);
    return;
  }
  const paint = createColors(hasColor(terminal, terminal.stderr));
  const lines = [
    `${paint.red("error:")} ${message.split("\n").map(plain).join("\n")}`,
    // The configuration's message lists its problems already.
    ...(code === "config.invalid"
      ? []
      : (fields ?? []).map((field) => `  ${plain(field.path)}: ${plain(field.message)}`)),
    ...(hint === undefined ? [] : [plain(hint)]),
    ...(requestId === undefined ? [] : [paint.dim(`request ${plain(requestId)}, code ${plain(code)}`)]),
  ];
  terminal.stderr.write(`${lines.join("\n")}\n`);
}
