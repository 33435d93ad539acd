import type { Environment } from "./environment.ts";

/** What every program needs to find others, its home and its language. Nothing here is a secret. */
export const INHERITED = /^(?:PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR)$/;

/** How the command lines of docker and podman find their daemon, their login and (rootless) their runtime folder. */
export const INHERITED_BY_RUNTIMES =
  /^(?:DOCKER_(?:HOST|CONFIG|CONTEXT|CERT_PATH|TLS_VERIFY|TLS|API_VERSION)|CONTAINER_(?:HOST|CONNECTION|SSHKEY)|CONTAINERS_CONF|CONTAINERS_STORAGE_CONF|REGISTRY_AUTH_FILE|XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS)$/;

/** The part of the gateway's environment that processes of MCP servers may see; all else stays with the gateway. */
export function inheritedEnvironment(env: Environment): Readonly<Record<string, string>> {
  const inherited: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && (INHERITED.test(name) || INHERITED_BY_RUNTIMES.test(name))) inherited[name] = value;
  }
  return inherited;
}
