import type { z } from "zod";

/** What a JSON column holds, parsed. @throws Error naming the column when the database holds something else */
export function parseJson<S extends z.ZodType>(schema: S, text: string, column: string): z.output<S> {
  const result = schema.safeParse(JSON.parse(text));
  if (result.success) return result.data;
  throw new Error(`the database holds an unreadable value in ${column}`, { cause: result.error });
}

/** The same for a column where null means "no restriction". */
export function parseJsonOrNull<S extends z.ZodType>(
  schema: S,
  text: string | null,
  column: string,
): z.output<S> | null {
  return text === null ? null : parseJson(schema, text, column);
}
