/** What every program needs to find others, its home and its language. Nothing here is a secret. */
const INHERITED = /^(?:PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR)$/;

/** How the command lines of docker and podman find their daemon, their login and (rootless) their runtime folder. */
const INHERITED_BY_RUNTIMES =
  /^(?:DOCKER_(?:HOST|CONFIG|CONTEXT|CERT_PATH|TLS_VERIFY|TLS|API_VERSION)|CONTAINER_(?:HOST|CONNECTION|SSHKEY)|CONTAINERS_CONF|CONTAINERS_STORAGE_CONF|REGISTRY_AUTH_FILE|XDG_RUNTIME_DIR|DBUS_SESSION_BUS_ADDRESS)$/;

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
