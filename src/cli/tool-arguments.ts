import { type JsonText, withMembers } from "../jsonrpc/json-slice.ts";
import { CliFailure, EXIT } from "./failure.ts";

/**
 * The arguments of a tool call as JSON text: an object from `--args`, then `name=text` and `name:=json` over it. JSON keeps
 * its text, so that a long number arrives as it was typed.
 *
 * @throws CliFailure naming what cannot be read, never its value
 */
export function toolArguments(whole: string | undefined, pairs: readonly string[]): JsonText {
  const members = new Map<string, JsonText>();
  for (const pair of pairs) {
    const [, name, sign, value = ""] = /^([^=]+?)(:?=)(.*)$/s.exec(pair) ?? [];
    if (name === undefined) throw usage("An argument is name=text or name:=json.");
    if (sign === ":=" && parse(value) === undefined)
      throw usage(`The value of ${name} is not JSON; text takes name=text.`);
    members.set(name, sign === ":=" ? value : JSON.stringify(value));
  }
  const changes = Object.fromEntries(members);
  if (whole === undefined) return withMembers("{}", changes);
  const base = parse(whole);
  if (typeof base !== "object" || base === null || Array.isArray(base)) throw usage("--args is not a JSON object.");
  return withMembers(whole, changes);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function usage(message: string): CliFailure {
  return new CliFailure(EXIT.usage, message, { code: "cli.usage" });
}
