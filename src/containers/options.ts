/**
 * What `docker run` and `podman run` take, as both parse it (spf13/pflag): which options have a value decides where the
 * image begins, so a table that is not the real one lets an option hide behind another.
 */

/** How an option is judged: freely, by its value, as a mount, or not at all. */
export type Rule =
  | { readonly kind: "free" }
  | { readonly kind: "mount" }
  | { readonly kind: "values"; readonly allowed: RegExp; readonly why: string }
  | { readonly kind: "denied"; readonly why: string };

export interface OptionSpec {
  /** Long name, without dashes. */
  readonly name: string;
  readonly hasValue: boolean;
  readonly rule: Rule;
}

const SHORT: Readonly<Record<string, string>> = {
  a: "attach",
  c: "cpu-shares",
  d: "detach",
  e: "env",
  h: "hostname",
  i: "interactive",
  l: "label",
  m: "memory",
  p: "publish",
  P: "publish-all",
  q: "quiet",
  t: "tty",
  u: "user",
  v: "volume",
  w: "workdir",
};

/** Old spellings that both still take. */
const ALIASES: Readonly<Record<string, string>> = {
  net: "network",
  "net-alias": "network-alias",
  "dns-opt": "dns-option",
};

const FREE_SWITCHES = "init interactive no-healthcheck quiet read-only read-only-tmpfs rm sig-proxy tty unsetenv-all";

const FREE_VALUES =
  "add-host annotation attach blkio-weight cap-drop cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus " +
  "cpuset-cpus cpuset-mems detach-keys dns dns-option dns-search domainname entrypoint env env-merge expose group-add " +
  "health-cmd health-interval health-retries health-start-interval health-start-period health-timeout hostname ip ip6 " +
  "label link link-local-ip mac-address memory memory-reservation memory-swap memory-swappiness name network-alias " +
  "pids-limit platform pull shm-size stop-signal stop-timeout sysctl timeout tmpfs tz ulimit umask unsetenv user workdir";

const HOST_FILES = "reads or writes files of the host";
const HOST_POWER = "gives the container power over the host";
const OUTSIDE = "takes the container out of its own confinement";
const NOT_ATTACHED = "would leave the server without its input and output";

/** `name=` where it takes a value. */
const DENIED: Readonly<Record<string, string>> = {
  [HOST_FILES]:
    "authfile= cidfile= conmon-pidfile= decryption-key= env-file= env-host init-path= label-file= mount= pidfile= " +
    "pod-id-file= rootfs secret= signature-policy= volumes-from= volume-driver= image-volume= chrootdirs=",
  [HOST_POWER]:
    "cap-add= device= device-cgroup-rule= device-read-bps= device-read-iops= device-write-bps= device-write-iops= " +
    "blkio-weight-device= gpus= privileged runtime= use-api-socket oom-kill-disable oom-score-adj= log-driver= log-opt= " +
    "hooks-dir= module= storage-opt=",
  [OUTSIDE]:
    "cgroup-conf= cgroup-parent= cgroups= gidmap= hostuser= isolation= passwd-entry= group-entry= personality= pod= " +
    "requires= seccomp-policy= subgidname= subuidname= systemd= uidmap= disable-content-trust tls-verify replace " +
    "publish-all sdnotify=",
  [NOT_ATTACHED]: "detach restart=",
};

const values = (allowed: RegExp, why: string): Rule => ({ kind: "values", allowed, why });

const BY_VALUE: Readonly<Record<string, Rule>> = {
  volume: { kind: "mount" },
  // A plain name: neither `container:x`, `ns:/x` nor Docker's list `name=host,alias=x`.
  network: values(/^(?!host$)[A-Za-z0-9][A-Za-z0-9_.-]*$/i, "may be none, bridge or the name of a network"),
  pid: values(/^private$/, "may only be private"),
  uts: values(/^private$/, "may only be private"),
  ipc: values(/^(?:none|private|shareable)$/, "may be none, private or shareable"),
  cgroupns: values(/^private$/, "may only be private"),
  userns: values(/^(?:auto|keep-id|nomap|private)$/, "may be auto, keep-id, nomap or private"),
  "security-opt": values(/^no-new-privileges(?:[:=]true)?$/, "may only be no-new-privileges"),
  // podman splits it at commas.
  publish: values(/^(?:127\.0\.0\.1|\[::1\]):[^,]+$/, "may only publish on 127.0.0.1 or [::1]"),
};

const OPTIONS = new Map<string, OptionSpec>();
const words = (text: string): string[] => text.split(" ");
for (const name of words(FREE_SWITCHES)) OPTIONS.set(name, { name, hasValue: false, rule: { kind: "free" } });
for (const name of words(FREE_VALUES)) OPTIONS.set(name, { name, hasValue: true, rule: { kind: "free" } });
for (const [name, rule] of Object.entries(BY_VALUE)) OPTIONS.set(name, { name, hasValue: true, rule });
for (const [why, list] of Object.entries(DENIED)) {
  for (const word of words(list)) {
    const name = word.replace("=", "");
    OPTIONS.set(name, { name, hasValue: word.endsWith("="), rule: { kind: "denied", why } });
  }
}

/** The option with this long name; undefined when neither program is known to have it. */
export function optionByName(name: string): OptionSpec | undefined {
  return OPTIONS.get(ALIASES[name] ?? name);
}

/** The option with this letter. */
export function optionByLetter(letter: string): OptionSpec | undefined {
  const name = Object.hasOwn(SHORT, letter) ? SHORT[letter] : undefined;
  return name === undefined ? undefined : OPTIONS.get(name);
}
