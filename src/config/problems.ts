import type { z } from "zod";
import type { ConfigProblem } from "./model.ts";
import { suggest } from "./suggest.ts";
import { lookAt } from "./walk.ts";

type Issue = z.core.$ZodIssue;

/** zod's issues as problems: place, what is wrong, what to write instead. Values are never quoted. */
export function toProblems(
  schema: z.ZodType,
  error: z.ZodError,
  placeOf: (path: readonly PropertyKey[]) => string,
): ConfigProblem[] {
  return error.issues.flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => unknownKey(schema, issue.path, key, placeOf))
      : [problemOf(schema, issue, placeOf)],
  );
}

const NAME_OF_SETTING = /^[A-Za-z][A-Za-z_-]{0,39}\d?$/;

function unknownKey(
  schema: z.ZodType,
  path: readonly PropertyKey[],
  key: string,
  placeOf: (path: readonly PropertyKey[]) => string,
): ConfigProblem {
  const { keys } = lookAt(schema, path);
  const near = suggest(key, keys);
  return {
    // A key that is no name of a setting may be a secret in the wrong place, such as the agent id of a policy.
    place: placeOf([...path, near !== null || NAME_OF_SETTING.test(key) ? key : "?"]),
    message: "unknown setting",
    remedy:
      near !== null
        ? `Did you mean ${near}?`
        : keys.length > 0
          ? `Remove it. Known here: ${keys.join(", ")}.`
          : "Remove it.",
  };
}

function problemOf(schema: z.ZodType, issue: Issue, placeOf: (path: readonly PropertyKey[]) => string): ConfigProblem {
  const { facts, keys } = lookAt(schema, issue.path);
  const remedy = facts
    ? `Write ${facts.takes}.`
    : issue.code === "invalid_key"
      ? `Write a name of 1 to 64 letters, digits, dots, underscores or hyphens, starting with a letter or digit${
          issue.path[0] === "servers"
            ? "; not bifrost, which is the gateway itself, and no ___ or _ at the end: ___ separates server and tool"
            : ""
        }.`
      : keys.length > 0
        ? `Write a table with ${keys.join(", ")}.`
        : "Write a table.";
  return { place: placeOf(issue.path), message: messageOf(issue), remedy };
}

/** Our own words where the schema has them; zod's texts are replaced, as some quote the input. */
function messageOf(issue: Issue): string {
  switch (issue.code) {
    case "invalid_type":
      return issue.message.startsWith("Invalid input")
        ? issue.input === undefined && /received undefined/.test(issue.message)
          ? "missing"
          : `not ${article(issue.expected)}`
        : issue.message;
    case "invalid_value":
      return "not one of the allowed values";
    case "invalid_key":
      return "not a usable name";
    case "invalid_union":
      return issue.message.startsWith("Invalid") ? "not one of the allowed forms" : issue.message;
    case "too_big":
    case "too_small":
    case "invalid_format":
    case "custom":
      return issue.message.startsWith("Invalid") || issue.message.startsWith("Too") ? "not usable" : issue.message;
    default:
      return "not usable";
  }
}

function article(expected: string): string {
  switch (expected) {
    case "object":
    case "record":
      return "a table";
    case "array":
      return "a list";
    case "string":
      return "text";
    case "int":
      return "a whole number";
    default:
      return `a ${expected}`;
  }
}

/** A path as people write it; names that could disturb a terminal or log are masked. */
export function dotted(path: readonly PropertyKey[]): string {
  return path.map((part) => (/^[\w.-]{1,64}$/.test(String(part)) ? String(part) : "(unprintable name)")).join(".");
}
