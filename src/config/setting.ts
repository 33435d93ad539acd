import { isIP } from "node:net";
import { z } from "zod";
import { parseDurationMs } from "../core/duration.ts";

/** What the documentation and the problem texts say about a setting. */
export interface SettingFacts {
  /** What to write, as the object of "Write": `a duration such as "30s"`. */
  readonly takes: string;
  readonly description: string;
  /** Environment variables that set it, the recommended one first. None for settings that exist only in a file. */
  readonly env?: readonly string[];
  /** What an unlucky choice costs. */
  readonly risk?: string;
  /** The value may be read from a file named by `<variable>_FILE`; it is never shown. */
  readonly secret?: boolean;
  /** What holds when it is not set, for defaults that are not a plain value. */
  readonly otherwise?: string;
  /** An empty variable counts as set. */
  readonly emptyCounts?: boolean;
  /** An older name of another setting. */
  readonly deprecated?: boolean;
  /** `${NAME}` in its texts is not expanded. */
  readonly verbatim?: boolean;
}

const FACTS = z.registry<SettingFacts>();

/** Attaches the facts to a schema. The schema must not be changed afterwards: zod's methods return a new one. */
export function setting<S extends z.ZodType>(schema: S, facts: SettingFacts): S {
  const described = schema.describe(facts.description);
  FACTS.add(described, facts);
  return described;
}

export function factsOf(schema: z.ZodType): SettingFacts | undefined {
  return FACTS.get(schema);
}

/** A duration text in the file; milliseconds in the program. */
export const Duration = z
  .string()
  .refine((text) => parseDurationMs(text) !== null, { error: "not a duration" })
  .transform((text) => parseDurationMs(text) ?? 0);

export const DURATION_TAKES = 'a duration such as "30s", "15m", "24h" or "7d"';

/** A duration, or "none" for no limit (0). */
export const Timeout = z
  .string()
  .refine((text) => text === "none" || parseDurationMs(text) !== null, { error: "not a duration" })
  .transform((text) => (text === "none" ? 0 : (parseDurationMs(text) ?? 0)));

export const TIMEOUT_TAKES = 'a duration such as "30s", or "none" for no limit';

/** Where a secret is: never in the file itself. Resolved by config/secret-source.ts. */
export const SecretSource = z.union(
  [
    z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: "not the name of a variable" }) }),
    z.strictObject({ file: z.string().min(1, { error: "empty" }) }),
  ],
  { error: "not a place of a secret" },
);
export type SecretSource = z.output<typeof SecretSource>;

export const SECRET_TAKES = '{ env = "NAME" } for an environment variable, or { file = "/path" } for a file';

/** Text in place, or where to find it. For settings that are usually given by a variable. */
export const SecretText = z.union([z.string(), ...SecretSource.options], { error: "not text and not a place of it" });

/** RFC 9110 §5.6.2 token: what a header or method name may be. */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;
/** Headers that frame the message or name its sender; a credential in one of them would break or forge a request. */
const UNUSABLE_HEADERS =
  /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|keep-alive|expect|proxy-.*|x-bifrost-.*)$/i;

/** Name of a header that the configuration may set. */
export const HeaderName = z
  .string()
  .regex(TOKEN, { error: "not a header name" })
  .refine((name) => !UNUSABLE_HEADERS.test(name), {
    error: "this header frames the request and cannot hold a credential",
  });

export const HOST_NAME =
  /^(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/** An address or CIDR block. */
export function isAddressBlock(text: string): boolean {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes("%")) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}
