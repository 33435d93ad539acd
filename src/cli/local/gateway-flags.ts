import type { LoadOptions } from "../../config/load.ts";
import type { ServeFlags } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";

type Options = NonNullable<LoadOptions["options"]>;

/** What the options of `serve` set, by setting path. @throws CliFailure when `--listen` is no address */
export function settingsOf(flags: ServeFlags): Options {
  const settings = new Map<string, { variable: string; value: unknown }>();
  const set = (path: string, variable: string, value: unknown) => {
    if (value !== undefined) settings.set(path, { variable, value });
  };
  const listen = flags.listen === undefined ? null : parseListen(flags.listen);
  set("server.host", "--listen", listen?.host);
  set("server.port", "--listen", listen?.port);
  set("server.shutdown_timeout", "--shutdown-timeout", flags.shutdownTimeout);
  set("gateway.log_dir", "--log-dir", flags.logDir);
  set("gateway.payload_dir", "--payload-dir", flags.payloadDir);
  set("gateway.payload_path_prefix", "--payload-path-prefix", flags.payloadPathPrefix);
  set("gateway.payload_size_threshold", "--payload-size-threshold", flags.payloadSizeThreshold);
  return settings;
}

/** `HOST:PORT`, `[IPv6]:PORT`, or `:PORT` for all addresses. Whether the host is one is checked with the settings. */
function parseListen(text: string): { host: string; port: number } {
  const [, v6, host = v6, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  if (port !== undefined && Number(port) <= 65_535) return { host: host || "0.0.0.0", port: Number(port) };
  throw new CliFailure(EXIT.usage, "The value of --listen is not an address to listen on.", {
    code: "cli.usage",
    hint: "Write host and port, such as 127.0.0.1:3333, [::1]:3333 or 0.0.0.0:3333.",
  });
}
