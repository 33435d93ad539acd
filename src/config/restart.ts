import type { Config, ConfigProblem } from "./model.ts";

/** What a running gateway takes over; all else is read once, at start. */
const RELOADABLE: readonly (keyof Config)[] = ["credentials", "services", "mcpServers", "file", "warnings"];

/**
 * The settings that differ and that only a restart can apply, each as a problem. Empty: the new
 * configuration can be reloaded. Values are compared, never shown.
 */
export function changesNeedingRestart(current: Config, next: Config): ConfigProblem[] {
  return leaves("", current, next).map((place) => ({
    place,
    message: "changed, but this is read only at start",
    remedy: "Restart the gateway, or put the value back and reload.",
  }));
}

function leaves(prefix: string, a: unknown, b: unknown): string[] {
  if (isTable(a) && isTable(b)) {
    const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    return names
      .filter((name) => prefix !== "" || !RELOADABLE.some((key) => key === name))
      .flatMap((name) => leaves(prefix === "" ? snake(name) : `${prefix}.${snake(name)}`, a[name], b[name]));
  }
  return JSON.stringify(a) === JSON.stringify(b) ? [] : [prefix];
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/** The program's name as the file writes it: `tokenTtlMs` is `token_ttl`. */
function snake(name: string): string {
  return name.replace(/Ms$/, "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
