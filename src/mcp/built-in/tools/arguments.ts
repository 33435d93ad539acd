import { z } from "zod";

/** A required text. Its message completes a sentence that starts with the argument's name. */
export function requiredText(maxLength: number, description: string) {
  return z
    .string({ error: (issue) => (issue.input === undefined ? "is required" : "must be a string") })
    .min(1, { error: "must not be empty" })
    .max(maxLength, { error: `must have at most ${maxLength} characters` })
    .describe(description);
}

/** A whole number within bounds; JSON `1.0` is one, `"1"` and `1.5` are not. */
export function wholeNumber(min: number, max: number, description: string) {
  const rule = { error: `must be a whole number from ${min} to ${max}` };
  return z.int(rule).min(min, rule).max(max, rule).describe(description);
}
