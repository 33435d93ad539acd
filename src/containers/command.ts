/** A server that runs in a container, as the configuration names it. */
export interface ContainerSpec {
  /** `docker`, `podman`, or the path of one. */
  readonly runtime: string;
  /** Before `run`. */
  readonly runtimeArgs: readonly string[];
  /** By which the container is removed when its process cannot do it; unique on the host. */
  readonly name: string;
  /** `name[:tag][@sha256:…]`. */
  readonly image: string;
  readonly entrypoint: string | null;
  readonly entrypointArgs: readonly string[];
  /** `/source:/destination:ro`. */
  readonly mounts: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Further options of `run`. */
  readonly args: readonly string[];
}

/** What is started, and the variables it needs beside the few that every process gets. */
export interface ContainerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Servers write protocol on stdout, so nothing may colour, page or buffer it. */
const ALWAYS = ["NO_COLOR=1", "TERM=dumb", "PYTHONUNBUFFERED=1"];

/** Variables that the runtime's own program reads: with the container's value it would be another program, or daemon. */
const READ_BY_RUNTIME =
  /^(?:PATH|HOME|USER|TMPDIR|SHELL|TERM|LD_.*|DYLD_.*|DOCKER_.*|CONTAINER_.*|CONTAINERS_.*|BUILDAH_.*|PODMAN_.*|STORAGE_.*|REGISTRY_AUTH_FILE|XDG_.*|DBUS_.*|SSH_.*|SSL_CERT_.*|GO[A-Z]+|NOTIFY_SOCKET|LISTEN_.*)$/;

/**
 * The command line of a container: `runtime [runtimeArgs] run --rm -i --name N -e … [--entrypoint E] [-v M]… [-e K]…
 * [args…] IMAGE [entrypointArgs…]`. Values of variables are given in the environment, where other users of the host cannot
 * read them as they can a command line; only those that the runtime itself would obey are written out.
 *
 * Nothing is checked here: see {@link isImageReference}, {@link isVariableName} and mounts.ts.
 */
export function containerCommand(spec: ContainerSpec): ContainerCommand {
  const env: Record<string, string> = {};
  const variables = ALWAYS.filter((text) => !Object.hasOwn(spec.env, text.slice(0, text.indexOf("="))));
  for (const [name, value] of Object.entries(spec.env)) {
    if (READ_BY_RUNTIME.test(name)) variables.push(`${name}=${value}`);
    else {
      variables.push(name);
      env[name] = value;
    }
  }
  const args = [
    ...spec.runtimeArgs,
    ...["run", "--rm", "-i", "--name", spec.name],
    ...(spec.entrypoint === null ? [] : ["--entrypoint", spec.entrypoint]),
    ...spec.mounts.flatMap((mount) => ["-v", mount]),
    ...variables.flatMap((variable) => ["-e", variable]),
    ...spec.args,
    spec.image,
    ...spec.entrypointArgs,
  ];
  return { command: spec.runtime, args, env };
}

/** Registry, path, tag and digest as the distribution specification has them. */
const IMAGE =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?\/)?[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/;

/** Whether a text names an image, and cannot be taken for an option or a path. */
export function isImageReference(text: string): boolean {
  return text.length <= 512 && IMAGE.test(text);
}

/** Whether `-e` takes it for exactly one name: no `=`, and none of podman's patterns with `*`. */
export function isVariableName(text: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(text);
}
