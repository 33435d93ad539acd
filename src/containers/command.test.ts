import { describe, expect, it } from "vitest";
import { containerCommand, type ContainerSpec, isImageReference, isVariableName } from "./command.ts";

const spec: ContainerSpec = {
  runtime: "podman",
  runtimeArgs: ["--log-level=error"],
  name: "bifrost-files",
  image: "ghcr.io/x/files:1",
  entrypoint: null,
  entrypointArgs: [],
  mounts: [],
  env: {},
  args: [],
};

describe("containerCommand", () => {
  it("is one line in a fixed order", () => {
    const full = {
      ...spec,
      entrypoint: "/bin/server",
      entrypointArgs: ["--stdio", "a b"],
      mounts: ["/a:/a:ro", "/b:/b:rw"],
      env: { TOKEN: "secret-value" },
      args: ["--network", "none"],
    };
    const { command, args } = containerCommand(full);
    expect([command, ...args].join(" ")).toBe(
      "podman --log-level=error run --rm -i --name bifrost-files --entrypoint /bin/server -v /a:/a:ro -v /b:/b:rw " +
        "-e NO_COLOR=1 -e TERM=dumb -e PYTHONUNBUFFERED=1 -e TOKEN --network none ghcr.io/x/files:1 --stdio a b",
    );
  });

  it("hands values over in the environment, never in the arguments", () => {
    const { args, env } = containerCommand({ ...spec, env: { TOKEN: "secret-value", EMPTY: "" } });
    expect(env).toEqual({ TOKEN: "secret-value", EMPTY: "" });
    expect(args.join(" ")).not.toContain("secret-value");
  });

  it("keeps from the runtime's own environment what it would obey itself", () => {
    const hostile = {
      PATH: "/x",
      HOME: "/x",
      LD_PRELOAD: "/x",
      DOCKER_HOST: "/x",
      XDG_RUNTIME_DIR: "/x",
      GODEBUG: "/x",
    };
    const { args, env } = containerCommand({ ...spec, env: hostile });
    expect(env).toEqual({});
    for (const name of Object.keys(hostile)) expect(args).toContain(`${name}=/x`);
  });

  it("lets the configuration set what it would set itself", () => {
    const { args } = containerCommand({ ...spec, env: { NO_COLOR: "0", TERM: "xterm" } });
    expect(args.filter((text) => /^(?:NO_COLOR|TERM)/.test(text))).toEqual(["NO_COLOR", "TERM=xterm"]);
  });
});

it.each([
  ["alpine", true],
  ["alpine:3.20", true],
  ["localhost:5000/a/b_c:1-x", true],
  [`ghcr.io/a/b@sha256:${"0a".repeat(32)}`, true],
  [`ghcr.io/a/b:v1@sha256:${"0a".repeat(32)}`, true],
  ["Alpine", false],
  ["-v", false],
  ["--privileged", false],
  ["/rootfs", false],
  ["./x", false],
  ["oci:/x", false],
  ["docker://alpine", false],
  ["a b", false],
  ["alpine:", false],
  ["alpine@sha256:12", false],
  ["", false],
])("%s is an image reference: %s", (text, expected) => {
  expect(isImageReference(text)).toBe(expected);
});

it.each([
  ["TOKEN", true],
  ["_a1", true],
  ["A=B", false],
  ["A*", false],
  ["1A", false],
  ["", false],
])("%s is the name of a variable: %s", (text, expected) => {
  expect(isVariableName(text)).toBe(expected);
});
