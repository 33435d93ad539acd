import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runMcpBench, runMcpProfile, type Stoppable } from "./bench.ts";
import { watchDescendants } from "./descendants.ts";
import { HELP, parseOptions, type Options } from "./options.ts";

const options = readOptions();
if (options === "help") process.stdout.write(HELP);
else await main(options);

function readOptions(): Options | "help" {
  try {
    return parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`bench:mcp: ${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    process.exit(2);
  }
}

/** Whatever happens, what was started is stopped and the temporary folder goes. A process that is left fails the run. */
async function main(chosen: Options): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bifrost-bench-mcp-"));
  const watch = watchDescendants(folder);
  const stops: Stoppable[] = [];
  const cleanUp = async (): Promise<void> => {
    watch.note();
    // The load first, then what it loads, then what stands behind that.
    for (const running of stops.splice(0).reverse()) await running.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  }
  const keep = <S extends Stoppable>(running: S): S => {
    stops.push(running);
    watch.note();
    return running;
  };
  let summary: Record<string, unknown> | null = null;
  try {
    if (chosen.profile) await runMcpProfile(chosen, folder, keep);
    else summary = await runMcpBench(chosen, folder, keep, watch.note);
  } catch (error) {
    process.stderr.write(`bench:mcp: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  } finally {
    await cleanUp();
  }
  const left = await watch.left();
  if (left.length > 0) {
    process.stderr.write(`bench:mcp: still running after the end: ${left.join(", ")}\n`);
    process.exitCode = 1;
  } else if (!chosen.json) {
    process.stdout.write("\nNo process of this run is left.\n");
  }
  if (summary !== null) process.stdout.write(`${JSON.stringify({ ...summary, processes_left: left.length })}\n`);
}
