import type { Environment } from "./environment.ts";
import type { ConfigProblem } from "./model.ts";
import type { SecretSource } from "./setting.ts";

/** Where secrets and names of places come from while the parsed settings become a {@link Config}. */
export interface Sources {
  readonly env: Environment;
  /** @throws anything when the file cannot be read */
  readonly readFile: (path: string) => string;
  /** How a problem names a setting: its path, or the variable that set it. */
  readonly placeOf: (path: readonly PropertyKey[]) => string;
  /** Whether the setting was already refused, so that its default stands in. */
  readonly isRefused: (path: readonly PropertyKey[]) => boolean;
  /** Ignored for a setting that was already refused. */
  readonly report: (problem: ConfigProblem) => void;
  readonly warn: (warning: string) => void;
  /** Whether the file (or document) says something there, apart from the environment. */
  readonly isInFile: (path: readonly PropertyKey[]) => boolean;
  /** Whether the text there came out of a `${VARIABLE}`. */
  readonly isExpanded: (path: readonly PropertyKey[]) => boolean;
  /** The agents that `gateway.agent_policies` names; there the key is the position in this list, from 1. */
  readonly policyAgents: readonly string[];
  /** Names of credentials in the input, those with problems included. */
  readonly credentialNames: readonly string[];
}

/** The text of a secret, or null after reporting why there is none. */
export function readSecret(source: string | SecretSource, path: readonly string[], sources: Sources): string | null {
  const text = readText(source, path, sources);
  if (text === null) return null;
  const fail = (message: string, remedy: string): null => {
    sources.report({ place: sources.placeOf(path), message, remedy });
    return null;
  };
  if (text === "") return fail("the secret is empty", "Put the secret there.");
  // A line break in a header would end it; no real credential has one.
  if (/\p{Cc}/u.test(text)) return fail("the secret has control characters", "Keep only the secret, on one line.");
  return text;
}

/** The text itself, of the variable or of the file, also an empty one; or null after reporting why there is none. */
export function readText(source: string | SecretSource, path: readonly string[], sources: Sources): string | null {
  const fail = (message: string, remedy: string): null => {
    sources.report({ place: sources.placeOf(path), message, remedy });
    return null;
  };
  if (typeof source === "string") return source;
  if ("env" in source) {
    const value = sources.env[source.env];
    if (!value) return fail(`the variable ${source.env} is not set`, `Set ${source.env} for the gateway's process.`);
    return value;
  }
  try {
    return sources.readFile(source.file).replace(/\r?\n$/, "");
  } catch {
    return fail("its file cannot be read", "Check the path, and that the gateway's user may read the file.");
  }
}
