import { InvalidArgumentError } from "commander";
import { parseDurationMs } from "../core/duration.ts";

/** A duration option in whole seconds. */
export function seconds(text: string): number {
  const ms = parseDurationMs(text);
  if (ms !== null && ms >= 1_000) return Math.floor(ms / 1_000);
  throw new InvalidArgumentError('Write a duration such as "30m", "12h" or "7d".');
}

/** A `name=value` option, collected into one object. */
export function pair(text: string, before: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Write name=value.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** An option that can be repeated, each time read by `parse`. */
export function each<T>(parse: (text: string) => T): (text: string, before: readonly T[] | undefined) => T[] {
  return (text, before) => [...(before ?? []), parse(text)];
}
