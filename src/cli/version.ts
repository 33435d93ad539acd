import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

/** The release, as package.json has it: two folders up, both from source and from dist. */
export const VERSION = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(join(import.meta.dirname, "..", "..", "package.json"), "utf8"))).version;
