import { type OptionSpec, optionByLetter, optionByName } from "./options.ts";

export interface ParsedOption {
  readonly option: OptionSpec;
  /** Null for a switch without `=`. */
  readonly value: string | null;
  /** Index of the argument it begins in. */
  readonly at: number;
}

export interface ParsedOptions {
  readonly options: readonly ParsedOption[];
  /** Index of the first argument that is no option: the image. */
  readonly rest: number;
  /** Why what follows could not be read; the options before it are there. Null when all was read. */
  readonly problem: string | null;
}

/**
 * Reads options as spf13/pflag does for `docker run` and `podman run`: `--name value`, `--name=value`, `-xyz` as switches of
 * which the last may have a value, attached (`-v/a:/b`), after `=` (`-v=/a:/b`) or as the next argument. Ends before the
 * first argument that is no option, or after `--`. Stops at an option it does not know: where its value ends is not known
 * either.
 */
export function parseOptions(args: readonly string[], from = 0): ParsedOptions {
  const options: ParsedOption[] = [];
  let at = from;
  const stop = (problem: string): ParsedOptions => ({ options, rest: at, problem });
  for (; at < args.length; at++) {
    const argument = args[at] ?? "";
    if (argument === "--") return { options, rest: at + 1, problem: null };
    if (!argument.startsWith("-") || argument === "-") return { options, rest: at, problem: null };
    const begin = at;
    const take = (option: OptionSpec, attached: string | null): boolean => {
      const value = attached ?? (option.hasValue ? args[++at] : null);
      if (value === undefined) return false;
      options.push({ option, value, at: begin });
      return true;
    };
    const problem = argument.startsWith("--") ? readLong(argument, take) : readShort(argument, take);
    if (problem !== null) return stop(problem);
  }
  return { options, rest: at, problem: null };
}

type Take = (option: OptionSpec, attached: string | null) => boolean;

function readLong(argument: string, take: Take): string | null {
  const equals = argument.indexOf("=");
  const name = equals === -1 ? argument.slice(2) : argument.slice(2, equals);
  const option = optionByName(name);
  if (option === undefined) return `--${name} is not a known option`;
  return take(option, equals === -1 ? null : argument.slice(equals + 1)) ? null : `--${name} needs a value`;
}

function readShort(argument: string, take: Take): string | null {
  for (let next = 1; next < argument.length; next++) {
    const letter = argument[next] ?? "";
    const option = optionByLetter(letter);
    if (option === undefined) return `-${letter} is not a known option`;
    const after = argument.slice(next + 1);
    // pflag: `=` with something behind it ends the letters, also behind a switch.
    if (after.length > 1 && after.startsWith("=")) return take(option, after.slice(1)) ? null : "";
    if (!option.hasValue) take(option, null);
    else return take(option, after === "" ? null : after) ? null : `-${letter} needs a value`;
  }
  return null;
}
