import { isTable } from "./table.ts";

/** What {@link refuseUnsupported} tells its caller. */
interface Outlets {
  readonly report: (path: readonly PropertyKey[], message: string, remedy: string) => void;
  readonly warn: (warning: string) => void;
  readonly writtenAs: (path: readonly PropertyKey[]) => readonly PropertyKey[];
}

const GUARDS = "guards for information flow are not supported by this release";
const GUARDS_REMEDY = "Remove it, once you have made sure that nothing relies on the protection.";

/** Settings of similar gateways that would be believed to protect something. Not set is what a false or empty value says. */
const GUARD_SETTINGS: Readonly<Record<string, readonly string[]>> = {
  top: ["guards", "guards_mode", "guardsMode"],
  gateway: ["trusted_bots", "force_public_repos", "sink_visibility_exempt_servers"],
  server: ["guard", "guard_policies", "guard_policy"],
  policy: ["allow_only", "allowonly", "enclave"],
};

/**
 * Takes settings out of `settings` that similar gateways have and this one does not: a protection that cannot be given
 * is a problem, so that nobody relies on it; what only tunes is a warning.
 */
export function refuseUnsupported(settings: Record<string, unknown>, outlets: Outlets): void {
  const { report, warn } = outlets;
  const refuse = (table: unknown, path: readonly PropertyKey[], names: readonly string[]) => {
    for (const key of isTable(table) ? Object.keys(table) : []) {
      if (!isTable(table) || !names.includes(snake(key))) continue;
      if (!isUnset(table[key])) report([...path, key], GUARDS, GUARDS_REMEDY);
      delete table[key];
    }
  };
  const gateway = settings["gateway"];
  const policies = isTable(gateway) ? gateway["agent_policies"] : undefined;
  refuse(settings, [], GUARD_SETTINGS["top"] ?? []);
  refuse(gateway, ["gateway"], GUARD_SETTINGS["gateway"] ?? []);
  for (const [name, policy] of entriesOf(policies)) {
    refuse(policy, ["gateway", "agent_policies", name], GUARD_SETTINGS["policy"] ?? []);
  }
  for (const [name, server] of entriesOf(settings["servers"])) {
    refuse(server, ["servers", name], GUARD_SETTINGS["server"] ?? []);
    if (!isTable(server)) continue;
    for (const key of ["alwaysAllow", "autoApprove", "always_allow", "auto_approve"]) delete server[key];
    const auth = server["auth"];
    if (isTable(auth) && auth["type"] === "github-oidc") {
      report(
        ["servers", name, "auth"],
        "tokens of GitHub Actions (github-oidc) are not supported by this release",
        'Use headers, { type = "bearer" } or { type = "oauth" }.',
      );
      delete server["auth"];
    }
  }
  for (const key of ["sequential_launch", "sequentialLaunch"]) {
    if (!Object.hasOwn(settings, key)) continue;
    if (settings[key] === true) warn(`${key} has no effect: servers start in parallel, each with its own time limit.`);
    delete settings[key];
  }
}

function isUnset(value: unknown): boolean {
  return value === false || value === null || (typeof value === "object" && Object.keys(value).length === 0);
}

function entriesOf(value: unknown): [string, unknown][] {
  return isTable(value) ? Object.entries(value) : [];
}

function snake(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replaceAll("-", "_");
}
