import type { Environment } from "./environment.ts";

/** What a text becomes, or why it cannot: no part of the text itself but the names of variables. */
export type Expansion =
  { readonly text: string; readonly isExpanded: boolean } | { readonly message: string; readonly remedy: string };

const REFERENCE = /\$\$\{|\$\{([^}]*)\}?/g;
const NAME = /^(?:env:)?([A-Za-z_][A-Za-z0-9_]{0,127})(?::-([^}]*))?$/;

/**
 * Replaces `${NAME}`, `${env:NAME}` and `${NAME:-what to take without it}` by the variable's value, once: a value that
 * looks like a reference stays as it is, and so does its punctuation, since the text was parsed before. `$${` is a
 * literal `${`. A variable that is not set is a problem; one that is set and empty is not.
 */
export function expandText(text: string, env: Environment): Expansion {
  if (!text.includes("${")) return { text, isExpanded: false };
  let problem: { message: string; remedy: string } | null = null;
  const expanded = text.replace(REFERENCE, (reference, inside: string | undefined) => {
    if (inside === undefined) return "${";
    const [, name, fallback] = NAME.exec(inside) ?? [];
    if (name === undefined || !reference.endsWith("}")) {
      problem ??= {
        message: "has a ${…} that names no variable",
        remedy: "Write ${NAME} or ${NAME:-default}; $${ stands for the characters themselves.",
      };
      return "";
    }
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (value === undefined && fallback === undefined) {
      problem ??= {
        message: `the variable ${name} is not set`,
        remedy: `Set ${name} for the gateway's process, or write \${${name}:-default}.`,
      };
    }
    return value ?? fallback ?? "";
  });
  return problem ?? { text: expanded, isExpanded: true };
}
