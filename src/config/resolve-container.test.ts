import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { load, problemsOf } from "../../test/support/load-config.ts";

const DIGEST = `ghcr.io/github/github-mcp-server@sha256:${"a1".repeat(32)}`;
const stdin = (server: object, gateway: object = {}) =>
  JSON.stringify({ mcpServers: { gh: server }, gateway: { agentId: "the-agent", ...gateway } });

describe("servers in containers", () => {
  let dir = "";
  beforeAll(() => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), "bifrost-roots-")));
    mkdirSync(join(dir, "data"));
    symlinkSync("/etc", join(dir, "link"));
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it("become a command line of the runtime, with no value of a variable in it", () => {
    const server = {
      container: DIGEST,
      entrypoint: "/bin/server",
      entrypointArgs: ["stdio"],
      args: ["--network", "none", "-e", "FROM_ARGS=${TOKEN}", "-e", "OWN"],
      mounts: [`${dir}/data:/data:ro`],
      env: { GITHUB_TOKEN: "${TOKEN}", OWN: "", UNSET: "" },
    };
    const config = load({
      stdin: stdin(server, {
        containerRuntime: "podman",
        containerRuntimeArgs: ["--log-level", "error"],
        allowedMountRoots: [dir],
      }),
      env: { TOKEN: "ghp_secret", OWN: "own-value" },
    });
    const transport = config.mcpServers[0]?.transport;
    if (transport?.kind !== "stdio") throw new Error("not a process");
    expect(transport.command).toBe("podman");
    expect(transport.args.join(" ")).toBe(
      "--log-level error run --rm -i --name bifrost-gh --entrypoint /bin/server " +
        `-v ${dir}/data:/data:ro -e NO_COLOR=1 -e TERM=dumb -e PYTHONUNBUFFERED=1 -e GITHUB_TOKEN -e OWN ` +
        `--network none -e FROM_ARGS -e OWN ${DIGEST} stdio`,
    );
    expect(transport.env).toEqual({ GITHUB_TOKEN: "ghp_secret", OWN: "own-value", FROM_ARGS: "ghp_secret" });
    expect(transport.container).toEqual({
      name: "bifrost-gh",
      runtime: "podman",
      runtimeArgs: ["--log-level", "error"],
    });
    expect(config.warnings.join()).toContain("servers.gh.env.UNSET");
  });

  it("are known by a command that is docker, whose -e NAME gets the gateway's value and whose container gets a name", () => {
    const config = load({
      stdin: stdin(
        { command: "docker", args: ["run", "-i", "--rm", "-e", "TOKEN", "mcp/github"] },
        { requireContainers: true },
      ),
      env: { TOKEN: "ghp_secret" },
    });
    expect(config.mcpServers[0]?.transport).toMatchObject({
      command: "docker",
      args: ["run", "--name", "bifrost-gh", "-i", "--rm", "-e", "TOKEN", "mcp/github"],
      env: { TOKEN: "ghp_secret" },
      container: { name: "bifrost-gh", runtime: "docker", runtimeArgs: [] },
    });
  });

  it.each([
    ["a mount outside the roots", { container: "a/b", mounts: ["/etc:/x:ro"] }, "mounts"],
    ["a mount through a link", { container: "a/b", mounts: ["LINK:/x:ro"] }, "mounts"],
    ["a writable mount of a read-only root", { container: "a/b", mounts: ["DIR:/x:rw"] }, "mounts"],
    ["an attached -v", { container: "a/b", args: ["-v/etc:/x"] }, "args"],
    ["-v with =", { container: "a/b", args: ["-v=/etc:/x"] }, "args"],
    ["--privileged", { container: "a/b", args: ["--privileged"] }, "args"],
    ["the host's network", { container: "a/b", args: ["--network=host"] }, "args"],
    ["an option nobody knows", { container: "a/b", args: ["--what", "x"] }, "args"],
    ["an image among the options", { container: "a/b", args: ["c/d"] }, "args"],
    ["the same in docker's own arguments", { command: "docker", args: ["run", "--pid", "host", "a/b"] }, "args"],
    ["an image that is an option", { container: "--privileged" }, "container"],
    ["a command beside it", { container: "a/b", command: "x" }, "command"],
    ["a mount without an image", { command: "docker", args: ["run", "a/b"], mounts: ["DIR:/x:ro"] }, "mounts"],
    ["a bare command where containers are required", { command: "npx" }, "command"],
    [
      "docker's other subcommands where containers are required",
      { command: "docker", args: ["exec", "-i", "x"] },
      "args",
    ],
  ])("are refused with %s", (_what, server, field) => {
    const text = JSON.stringify(server).replace("LINK", `${dir}/link`).replace("DIR", dir);
    const document = stdin(JSON.parse(text) as object, { allowedMountRoots: [`${dir}:ro`], requireContainers: true });
    const problems = problemsOf({ stdin: document });
    expect(Object.keys(problems)).toEqual([`mcpServers.gh.${field}`]);
  });

  it("are podman's where dockerless is set, also against the variable", () => {
    const given = {
      stdin: stdin({ container: "a/b" }, { dockerless: true }),
      env: { MCP_GATEWAY_CONTAINER_RUNTIME: "docker" },
    };
    expect(load(given).mcpServers[0]?.transport).toMatchObject({ command: "podman" });
    expect(
      problemsOf({ stdin: stdin({ container: "a/b" }, { dockerless: true, containerRuntime: "docker" }) }),
    ).toHaveProperty("gateway.containerRuntime");
    expect(
      problemsOf({
        stdin: stdin({ container: "a/b" }, { dockerless: true, containerRuntimeCommand: "/usr/bin/docker" }),
      }),
    ).toHaveProperty("gateway.containerRuntimeCommand");
  });

  it("leave other subcommands of docker alone where no policy was asked for", () => {
    const { mcpServers } = load({ stdin: stdin({ command: "docker", args: ["mcp", "gateway", "run"] }) });
    expect(mcpServers[0]?.transport).toMatchObject({ args: ["mcp", "gateway", "run"], container: null });
  });
});
