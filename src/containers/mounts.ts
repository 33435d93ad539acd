import { isAbsolute } from "node:path";
import { isImageReference } from "./command.ts";
import { judgeSource, type MountRoot, type Realpath } from "./mount-roots.ts";
import type { OptionSpec } from "./options.ts";
import { type ParsedOption, parseOptions } from "./parse-options.ts";

/** Which part of the file system containers may see. */
export interface MountPolicy {
  /** Empty allows no mount of host folders. */
  readonly roots: readonly MountRoot[];
  readonly realpath: Realpath;
}

/** Options of the program itself that may stand before `run`. */
const GLOBAL_VALUES = ["--context", "-c", "--connection", "--log-level", "-l"];
const GLOBAL_SWITCHES = ["--debug", "-D"];

/** Options of a mount that neither widen what is seen nor change the host's files. */
const MOUNT_FLAGS = new Set(
  "ro rw z Z cached delegated consistent nocopy private rprivate nosuid nodev noexec".split(" "),
);
const VOLUME_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

/**
 * What is wrong with the arguments of docker or podman, `[global options] run [options] IMAGE [command…]`, in words for the
 * operator; empty when they may be run. Fails closed: what is not known to be harmless is refused, however it is spelled.
 */
export function checkContainerArgs(args: readonly string[], policy: MountPolicy): string[] {
  const options = skipToOptions(args);
  if (typeof options === "string") return [options];
  const parsed = parseOptions(args, options);
  const problems = judgeAll(parsed.options, policy);
  if (parsed.problem !== null) problems.push(parsed.problem);
  else if (!isImageReference(args[parsed.rest] ?? "")) problems.push("what follows the options is no image");
  return problems;
}

/** The same for options alone, which are put before the image: anything that is no option would be taken for the image. */
export function checkContainerOptions(options: readonly string[], policy: MountPolicy): string[] {
  const parsed = parseOptions(options);
  const problems = judgeAll(parsed.options, policy);
  if (parsed.problem !== null) problems.push(parsed.problem);
  else if (parsed.rest !== options.length || options.at(-1) === "--") {
    problems.push("an argument is no option, and would be taken for the image");
  }
  if (parsed.options.some(({ option }) => option.name === "name")) problems.push("--name is the gateway's to set");
  return problems;
}

/** What is wrong with one mount, `/source:/destination[:options]` or `volume:/destination`; null when it is allowed. */
export function checkMount(mount: string, policy: MountPolicy): string | null {
  const parts = mount.split(":");
  const [source = "", destination] = parts;
  if (destination === undefined) return source.startsWith("/") ? null : "needs a source and a destination";
  if (parts.length > 3) return "has too many parts; write source:destination:ro";
  if (!destination.startsWith("/")) return "needs an absolute destination";
  const flags = parts[2]?.split(",") ?? [];
  const unknown = flags.find((flag) => !MOUNT_FLAGS.has(flag));
  if (unknown !== undefined) return `has an option that is not allowed: ${JSON.stringify(unknown)}`;
  if (VOLUME_NAME.test(source)) return null;
  if (!isAbsolute(source)) return "needs an absolute source, or the name of a volume";
  // Resolved by the kernel these may lead elsewhere than as text, behind a symbolic link.
  if (/(?:^|\/)\.\.?(?:\/|$)/.test(source)) return "may not have . or .. in its source";
  return judgeSource(source, !flags.includes("ro") || flags.includes("rw"), policy.roots, policy.realpath);
}

/**
 * The arguments with `--name` set, so that the container can be removed by it; null where they are not understood, and
 * checkContainerArgs says why. A name that is already there is replaced: it could be given to one process only.
 */
export function withContainerName(args: readonly string[], name: string): string[] | null {
  const start = skipToOptions(args);
  if (typeof start === "string") return null;
  const { options, problem } = parseOptions(args, start);
  if (problem !== null) return null;
  const named = options.filter(({ option }) => option.name === "name");
  const kept = args.slice(start).filter((_, index) => !named.some((option) => covers(option, args, index + start)));
  return [...args.slice(0, start), "--name", name, ...kept];
}

/** `--name x` is two arguments, `--name=x` one. */
function covers({ at }: ParsedOption, args: readonly string[], index: number): boolean {
  return index === at || (index === at + 1 && args[at] === "--name");
}

/** Index of the first argument after `run`, or what is wrong. */
function skipToOptions(args: readonly string[]): number | string {
  let at = 0;
  for (; args[at]?.startsWith("-"); at++) {
    const argument = args[at] ?? "";
    const [name = ""] = argument.split("=", 1);
    if (GLOBAL_VALUES.includes(argument)) at++;
    else if (!GLOBAL_SWITCHES.includes(argument) && !(name.startsWith("--") && GLOBAL_VALUES.includes(name))) {
      return `${name} is not allowed before run`;
    }
  }
  if (args[at] === "container") at++;
  return args[at] === "run" ? at + 1 : "the first argument must be run";
}

function judgeAll(options: readonly ParsedOption[], policy: MountPolicy): string[] {
  return options.flatMap(({ option, value }) => judge(option, value, policy) ?? []);
}

function judge({ name, rule }: OptionSpec, value: string | null, policy: MountPolicy): string | null {
  switch (rule.kind) {
    case "free":
      return null;
    case "denied":
      return `--${name} is not allowed: it ${rule.why}`;
    case "values":
      return rule.allowed.test(value ?? "") ? null : `--${name} ${rule.why}`;
    case "mount": {
      const problem = checkMount(value ?? "", policy);
      return problem === null ? null : `the mount ${JSON.stringify(value)} ${problem}`;
    }
  }
}
