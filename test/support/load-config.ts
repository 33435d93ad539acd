import type { Environment } from "../../src/config/environment.ts";
import { type Config, ConfigError, loadConfig, type LoadOptions } from "../../src/config/load.ts";

/** What a test says of a start; `file` is the content, TOML or JSON. */
export interface Given {
  readonly file?: string;
  readonly stdin?: string;
  readonly env?: Environment;
  readonly files?: Readonly<Record<string, string>>;
  readonly options?: LoadOptions["options"];
}

export function load({ file, stdin, env = {}, files = {}, options }: Given): Config {
  return loadConfig({
    file: file === undefined ? undefined : "bifrost.conf",
    stdin,
    env,
    options,
    readFile(path) {
      const text = path === "bifrost.conf" ? file : files[path];
      if (text === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
      return text;
    },
  });
}

/** The problems by place, each as message and remedy. */
export function problemsOf(given: Given): Record<string, string> {
  try {
    load(given);
    return {};
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return Object.fromEntries(error.problems.map(({ place, message, remedy }) => [place, `${message}. ${remedy}`]));
  }
}
