import type { z } from "zod";
import { GatewayError } from "../../core/errors.ts";

/** One refused argument. `path` is its name; a name the caller made up is shortened and quoted. */
export interface ArgumentProblem {
  readonly argument: string;
  readonly problem: string;
}

const LONGEST_NAME = 64;

/**
 * The arguments of a tool call, checked. Values are never quoted back: an agent may have put a secret there.
 *
 * @throws GatewayError `request.invalid` whose fields name each refused argument and what it must be
 */
export function parseArguments<Input extends z.ZodObject>(schema: Input, args: unknown): z.output<Input> {
  const parsed = schema.safeParse(args === undefined ? {} : args);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.flatMap(toProblems);
  // One problem for each argument: 1e300 is both no whole number and too large.
  throw invalidArguments(
    [...new Map(problems.toReversed().map((problem) => [problem.argument, problem])).values()].toReversed(),
  );
}

/** Arguments that are no good, each named: -32602 for the client (refusals.ts). */
export function invalidArguments(problems: readonly ArgumentProblem[]): GatewayError {
  return new GatewayError("request.invalid", {
    fields: problems.map(({ argument, problem }) => ({ path: argument, message: problem })),
  });
}

function toProblems(issue: z.core.$ZodIssue): ArgumentProblem[] {
  if (issue.code === "unrecognized_keys") {
    const unknown = issue.keys.slice(0, 5);
    return unknown.map((name) => ({ argument: nameOf(name), problem: "is not an argument of this tool" }));
  }
  const [name] = issue.path;
  return [{ argument: name === undefined ? "arguments" : nameOf(String(name)), problem: issue.message }];
}

function nameOf(name: string): string {
  return /^[a-z][a-z0-9_]{0,63}$/.test(name) ? name : JSON.stringify(name.slice(0, LONGEST_NAME));
}
