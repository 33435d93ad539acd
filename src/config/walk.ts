import { z } from "zod";
import { type SettingFacts, factsOf } from "./setting.ts";

/** The schema inside optional, default, prefault and pipe wrappers. */
export function unwrap(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return unwrap(schema.unwrap() as z.ZodType);
  }
  return schema instanceof z.ZodPipe ? unwrap(schema.in as z.ZodType) : schema;
}

export interface Leaf {
  readonly path: readonly string[];
  readonly schema: z.ZodType;
  readonly facts: SettingFacts;
}

/** Every setting of a schema in its order; the entries of a named table appear once, under `NAME`. */
export function leavesOf(schema: z.ZodType, path: readonly string[] = []): Leaf[] {
  const facts = factsOf(schema);
  if (facts) return [{ path, schema, facts }];
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    return Object.entries(inner.shape).flatMap(([name, field]) => leavesOf(field as z.ZodType, [...path, name]));
  }
  if (inner instanceof z.ZodRecord) return leavesOf(inner.valueType as z.ZodType, [...path, "NAME"]);
  return [];
}

/** What the schema knows about a place: the facts of the nearest setting, and the keys allowed right there. */
export function lookAt(
  schema: z.ZodType,
  path: readonly PropertyKey[],
): { facts: SettingFacts | undefined; keys: readonly string[] } {
  let here: z.ZodType | undefined = schema;
  let facts = factsOf(schema);
  for (const part of path) {
    here = here && child(here, part);
    facts = (here && factsOf(here)) ?? facts;
  }
  return { facts, keys: here ? keysOf(unwrap(here)) : [] };
}

function child(schema: z.ZodType, part: PropertyKey): z.ZodType | undefined {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) {
    return Object.hasOwn(inner.shape, part) ? (inner.shape[String(part)] as z.ZodType) : undefined;
  }
  if (inner instanceof z.ZodRecord) return inner.valueType as z.ZodType;
  if (inner instanceof z.ZodArray) return inner.element as z.ZodType;
  return undefined;
}

function keysOf(schema: z.ZodType): string[] {
  if (schema instanceof z.ZodObject) return Object.keys(schema.shape);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => keysOf(unwrap(option as z.ZodType)));
  return [];
}
