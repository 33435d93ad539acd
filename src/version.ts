import { readFileSync } from "node:fs";

/** The release, from package.json: the same file for a clone (src/) and a build (dist/). */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string }
).version;
