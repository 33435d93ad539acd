import fc from "fast-check";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { hostRealpath } from "./host-realpath.ts";
import { defaultMountRoots, parseMountRoots } from "./mount-roots.ts";
import {
  checkContainerArgs,
  checkContainerOptions,
  checkMount,
  type MountPolicy,
  withContainerName,
} from "./mounts.ts";

const LINKS: Record<string, string> = { "/work/link": "/etc", "/tmp/up": "/", "/var/run": "/run" };
const DIRS = ["/", "/etc", "/work", "/work/sub", "/tmp", "/tmp/kept", "/home", "/run"];

/** A file system with a few folders and links. */
function realpath(path: string): string {
  for (const [link, target] of Object.entries(LINKS)) {
    if (path === link || path.startsWith(`${link}/`)) return realpath(`${target}${path.slice(link.length)}` || "/");
  }
  const clean = path.replace(/\/+/g, "/").replace(/(?<=.)\/$/, "");
  if (DIRS.includes(clean)) return clean;
  throw Object.assign(new Error("no such file"), { code: "ENOENT" });
}

const policy: MountPolicy = {
  realpath,
  roots: [
    { path: "/work", isWritable: false },
    { path: "/tmp", isWritable: true },
    { path: "/tmp/kept", isWritable: false },
    { path: "/work/sub", isWritable: true },
  ],
};
const run = (...options: string[]) => checkContainerArgs(["run", ...options, "alpine"], policy);

describe("a mount", () => {
  it.each([
    "/work:/w:ro",
    "/work/deep/new:/w:ro",
    "/work:/w:ro,z",
    "/work/sub:/w",
    "/work/sub/x:/w:rw",
    "/tmp/x:/x",
    "/tmp/kept:/x:ro",
    "/tmp//x/:/x:rw",
    "cache:/cache",
    "/anonymous",
  ])("%s is allowed", (mount) => {
    expect(checkMount(mount, policy)).toBeNull();
  });

  it.each([
    ["/etc:/x:ro", "outside"],
    ["/:/x:ro", "outside"],
    ["//:/x:ro", "outside"],
    ["/workshop:/x:ro", "outside"],
    ["/work:/x", "read-only"],
    ["/work:/x:rw", "read-only"],
    ["/work:/x:z", "read-only"],
    ["/work:/x:ro,rw", "read-only"],
    ["/tmp:/x", "read-only root in it"],
    ["/tmp/kept/y:/x", "read-only"],
    ["/work/link:/x:ro", "outside"],
    ["/work/link/passwd:/x:ro", "outside"],
    ["/tmp/up/etc:/x:ro", "outside"],
    ["/work/../etc:/x:ro", ". or .."],
    ["/work/./x:/x:ro", ". or .."],
    ["/work/sub/..:/x:ro", ". or .."],
    ["../etc:/x:ro", "absolute source"],
    ["./x:/x:ro", "absolute source"],
    ["~:/x:ro", "absolute source"],
    ["$HOME:/x:ro", "absolute source"],
    [":/x:ro", "absolute source"],
    ["/work:x:ro", "absolute destination"],
    ["/work::ro", "absolute destination"],
    ["/work:/x:ro:rw", "too many parts"],
    ["/work:/x:O", "not allowed"],
    ["/work:/x:ro,U", "not allowed"],
    ["/work:/x:shared", "not allowed"],
    ["/work:/x:", "not allowed"],
    ["", "needs a source"],
    ["x", "needs a source"],
  ])("%s is refused: %s", (mount, why) => {
    expect(checkMount(mount, policy)).toContain(why);
  });
});

/** Every way to write an option with a value. */
const spellings = (value: string): string[][] => [
  ["-v", value],
  [`-v${value}`],
  [`-v=${value}`],
  ["--volume", value],
  [`--volume=${value}`],
  ["-iv", value],
  [`-itv${value}`],
  [`-tiqv=${value}`],
];

describe("the arguments of a container", () => {
  it("cannot mount a forbidden path in any spelling, wherever it stands between harmless options", () => {
    const harmless = fc.constantFrom(
      ...[["--rm"], ["-i"], ["-it"], ["-e", "A=-v"], ["-eA"], ["--env=-v"], ["--name", "--"], ["-w", "-v"], ["-u0"]],
      ...[
        ["--label", "run"],
        ["-l=x"],
        ["--cpus", "2"],
        ["-m1g"],
        ["--read-only=true"],
        ["-v", "/tmp/x:/x"],
        ["-i=false"],
      ],
      ...[["--network", "none"], ["--net=bridge"], ["--pull", "-v"], ["--entrypoint", "sh"], ["--tmpfs=/x"]],
    );
    const forbidden = fc.constantFrom("/etc:/x", "/:/x:ro", "/work/link:/x:ro", "/work:/x", "/var/run/docker.sock:/s");
    const around = fc.array(harmless, { maxLength: 6 });
    fc.assert(
      fc.property(around, forbidden, fc.nat(7), around, (before, mount, spelling, after) => {
        const option = spellings(mount)[spelling] ?? [];
        expect(run(...before.flat(), ...after.flat())).toEqual([]);
        expect(run(...before.flat(), ...option, ...after.flat())).not.toEqual([]);
      }),
    );
  });

  it("that follow the image are the server's own", () => {
    expect(checkContainerArgs(["run", "alpine", "-v", "/etc:/x", "--privileged"], policy)).toEqual([]);
    expect(checkContainerArgs(["run", "--", "alpine", "-v", "/etc:/x"], policy)).toEqual([]);
  });

  it.each([
    ["--mount type=bind,src=/etc,dst=/x"],
    ["--mount=type=bind,src=/etc,dst=/x"],
    ["--volumes-from other"],
    ["--privileged"],
    ["--privileged=true"],
    ["--device /dev/sda"],
    ["--device=/dev/sda"],
    ["--device-cgroup-rule x"],
    ["--device-read-bps x"],
    ["--rootfs"],
    ["--network host"],
    ["--network=host"],
    ["--net host"],
    ["--net=host"],
    ["--network=HOST"],
    ["--network=container:x"],
    ["--network=name=host,alias=a"],
    ["--network=ns:/proc/1/ns/net"],
    ["--pid host"],
    ["--pid=container:x"],
    ["--ipc=host"],
    ["--uts host"],
    ["--userns=host"],
    ["--cgroupns=host"],
    ["--cap-add ALL"],
    ["--cap-add=SYS_ADMIN"],
    ["--security-opt seccomp=unconfined"],
    ["--security-opt=no-new-privileges:false"],
    ["--env-file /etc/passwd"],
    ["--label-file=/etc/passwd"],
    ["--volume-driver local"],
    ["--gpus all"],
    ["--runtime /bin/sh"],
    ["--use-api-socket"],
    ["--cidfile /etc/x"],
    ["--env-host"],
    ["-p 80:80"],
    ["-p80:80"],
    ["-p 0.0.0.0:80:80"],
    ["-p 127.0.0.1:1:1,0.0.0.0:2:2"],
    ["-P"],
    ["-iP"],
    ["-d"],
    ["-id"],
    ["--restart=always"],
    ["--unknown"],
    ["--unknown x"],
    ["--constructor"],
    ["--volum=/etc:/x"],
    ["-x"],
    ["-ix"],
    ["---v"],
    ["--=x"],
  ])("are refused with %s", (options) => {
    expect(run(...options.split(" "))).not.toEqual([]);
    expect(run("--rm", "-i", ...options.split(" "), "-e", "A")).not.toEqual([]);
  });

  it.each([
    ["--network none"],
    ["--net=my-net_1"],
    ["--ipc=private"],
    ["--security-opt no-new-privileges"],
    ["--security-opt=no-new-privileges:true"],
    ["--cap-drop=ALL"],
    ["-p 127.0.0.1:9000:9000"],
    ["--userns=keep-id"],
    ["--rm=false --init -itq --memory 1g -c 5 -h host --user=1:1 --dns-opt x --tmpfs /t:size=1m"],
  ])("are allowed with %s", (options) => {
    expect(run(...options.split(" "))).toEqual([]);
  });

  it.each([
    [["exec", "x"]],
    [["container", "exec"]],
    [["-H", "tcp://x", "run", "alpine"]],
    [["--config", "/x", "run", "alpine"]],
    [["--config=/x", "run", "alpine"]],
    [["--root", "/x", "run", "alpine"]],
    [[]],
    [["run"]],
    [["run", "-v"]],
    [["run", "--rm"]],
    [["run", "/rootfs"]],
    [["run", "oci:/x"]],
    [["run", "--"]],
  ])("%j are refused", (args) => {
    expect(checkContainerArgs(args, policy)).toHaveLength(1);
  });

  it("may have options of the program before run that lead nowhere else", () => {
    expect(
      checkContainerArgs(["--context", "remote", "-D", "--log-level=debug", "container", "run", "alpine"], policy),
    ).toEqual([]);
  });

  it("name every problem at once", () => {
    expect(run("--privileged", "-v/etc:/x", "--pid=host")).toEqual([
      "--privileged is not allowed: it gives the container power over the host",
      'the mount "/etc:/x" is outside the allowed mount roots',
      "--pid may only be private",
    ]);
  });

  it("as options alone hold no image and no name", () => {
    expect(checkContainerOptions(["-v", "/tmp/x:/x", "--init"], policy)).toEqual([]);
    expect(checkContainerOptions([], policy)).toEqual([]);
    for (const options of [
      ["alpine"],
      ["--init", "alpine", "-v", "/tmp/x:/x"],
      ["--"],
      ["--init", "--"],
      ["--name", "x"],
    ]) {
      expect(checkContainerOptions(options, policy)).toHaveLength(1);
    }
  });
});

describe("withContainerName", () => {
  it.each([
    [
      ["run", "-i", "alpine", "--name", "y"],
      ["run", "--name", "n", "-i", "alpine", "--name", "y"],
    ],
    [
      ["run", "--name", "x", "-i", "alpine"],
      ["run", "--name", "n", "-i", "alpine"],
    ],
    [
      ["run", "-i", "--name=x", "alpine"],
      ["run", "--name", "n", "-i", "alpine"],
    ],
    [
      ["container", "run", "--label", "--name", "alpine"],
      ["container", "run", "--name", "n", "--label", "--name", "alpine"],
    ],
    [["run", "--unknown", "alpine"], null],
    [["ps"], null],
  ])("%j becomes %j", (args, expected) => {
    expect(withContainerName(args, "n")).toEqual(expected);
  });
});

describe("mount roots", () => {
  it("are the workspace and the working directory to read, and the folder for temporary files", () => {
    expect(defaultMountRoots({ workspace: "/work", cwd: "/home", tempDir: "/tmp/" }, realpath)).toEqual([
      { path: "/work", isWritable: false },
      { path: "/home", isWritable: false },
      { path: "/tmp", isWritable: true },
    ]);
    expect(defaultMountRoots({ workspace: null, cwd: "/tmp", tempDir: "/tmp" }, realpath)).toEqual([
      { path: "/tmp", isWritable: false },
    ]);
    expect(defaultMountRoots({ workspace: null, cwd: "/", tempDir: "/tmp" }, realpath)).toHaveLength(1);
  });

  it("come from a list, through links, and are read-only unless it says rw", () => {
    expect(parseMountRoots(["/work", " /var/run:rw ", "/tmp:ro", "", "x", "/", "/tmp/up:rw"], realpath)).toEqual({
      roots: [
        { path: "/work", isWritable: false },
        { path: "/run", isWritable: true },
        { path: "/tmp", isWritable: false },
      ],
      problems: ['the root "x" is not an absolute path', "the root / is ignored"],
    });
  });
});

describe("on the real file system", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "mounts-")));
  afterAll(() => rmSync(folder, { recursive: true }));

  it("a link out of a root is followed, and one that leads nowhere is refused", () => {
    mkdirSync(join(folder, "root"));
    symlinkSync("/etc", join(folder, "root/out"));
    symlinkSync(join(folder, "later"), join(folder, "root/dangling"));
    const real: MountPolicy = {
      realpath: hostRealpath,
      roots: [{ path: join(folder, "root"), isWritable: true }],
    };
    expect(checkMount(`${folder}/root/new/deeper:/x`, real)).toBeNull();
    expect(checkMount(`${folder}/root/out:/x`, real)).toContain("outside");
    expect(checkMount(`${folder}/root/out/new:/x`, real)).toContain("outside");
    expect(checkMount(`${folder}/root/dangling:/x`, real)).toContain("cannot be resolved");
    expect(checkMount(`${folder}/root/dangling/x:/x`, real)).not.toBeNull();
  });
});
