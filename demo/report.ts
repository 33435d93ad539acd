import pc from "picocolors";

let failures = 0;
let step = 0;

/** Begins a step of the demo. */
export function title(text: string): void {
  step += 1;
  console.log(`\n${pc.bold(`${step}. ${text}`)}`);
}

const says = (who: string, color: (text: string) => string) => (line: string) =>
  console.log(`   ${color(who.padEnd(8))} ${line}`);

export const operator = says("operator", pc.cyan);
export const agent = says("agent", pc.green);
export const upstreamSays = says("upstream", pc.magenta);

/** Prints what must hold; the demo fails where it does not. */
export function check(what: string, holds: boolean): void {
  if (!holds) failures += 1;
  console.log(`   ${holds ? pc.green("✓") : pc.red("✗")} ${what}`);
}

/** For what ended the demo before its last step. */
export function stopped(error: unknown): void {
  failures += 1;
  console.error(pc.red(`\nThe demo stopped: ${error instanceof Error ? error.message : String(error)}`));
}

/** The last line. Returns the exit code: 0 only if every step held. */
export function conclude(): number {
  console.log(
    failures === 0 ? pc.bold(pc.green("\nEvery step held.")) : pc.bold(pc.red(`\n${failures} checks failed.`)),
  );
  return failures === 0 ? 0 : 1;
}
