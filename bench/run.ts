import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HELP, parseOptions, type Options } from "./options.ts";
import { runBench, runProfile } from "./bench.ts";

const options = readOptions();
if (options === "help") process.stdout.write(HELP);
else await main(options);

function readOptions(): Options | "help" {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    process.exit(2);
  }
}

/** Whatever happens, what was started is stopped and the temporary folder goes. */
async function main(chosen: Options): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bifrost-bench-"));
  const stops: (() => Promise<void>)[] = [];
  const cleanUp = async (): Promise<void> => {
    await Promise.all(stops.splice(0).map((stop) => stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  }
  try {
    await (chosen.profile ? runProfile : runBench)(chosen, folder, (running) => {
      stops.push(() => running.stop());
      return running;
    });
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  } finally {
    await cleanUp();
  }
}
