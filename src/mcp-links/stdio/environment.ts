import { INHERITED, INHERITED_BY_RUNTIMES } from "../../config/inherited-environment.ts";

/**
 * The environment of a server's process: a few harmless names of the gateway's own, then what the configuration gives it,
 * which wins. The gateway's secrets (`BIFROST_*`, database URLs, cloud credentials) are not among them by construction.
 */
export function childEnvironment(
  own: Readonly<Record<string, string | undefined>>,
  configured: Readonly<Record<string, string>>,
  isContainerRuntime: boolean,
): Record<string, string> {
  const env: Record<string, string> = { TERM: "dumb" };
  for (const [name, value] of Object.entries(own)) {
    if (value === undefined) continue;
    if (INHERITED.test(name) || (isContainerRuntime && INHERITED_BY_RUNTIMES.test(name))) env[name] = value;
  }
  return { ...env, ...configured };
}
