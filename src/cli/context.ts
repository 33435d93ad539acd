import { type Command, InvalidArgumentError } from "commander";
import { type Api, createApi } from "./api-client.ts";
import { type LoginStore, openLoginStore } from "./credentials-file.ts";
import { CliFailure, EXIT } from "./failure.ts";
import { type Column, createOutput, type Item, type Output, type Terminal } from "./terminal.ts";

const DEFAULT_URL = "http://127.0.0.1:3333";

/** What a command works with. */
export interface Context {
  readonly terminal: Terminal;
  readonly output: Output;
  readonly logins: LoginStore;
  /** Origin of the gateway to talk to. */
  readonly url: string;
  /** The organization named, else the one logged in to; null where only the gateway can tell. */
  org(): string | null;
  /** The API with this user's credential. @throws CliFailure when there is none */
  api(): Api;
  /** The API with a secret of the command's own, or without any. */
  apiWith(secret: string | null): Api;
}

interface GlobalOptions {
  readonly url?: string;
  readonly org?: string;
  readonly json?: boolean;
}

type Work<Options> = (context: Context, args: readonly string[], options: Options) => Promise<void> | void;

/** A commander action that gets our context, the arguments and the options. */
export function action<Options>(terminal: Terminal, work: Work<Options>) {
  return async function run(this: Command, ..._given: unknown[]): Promise<void> {
    const options = this.optsWithGlobals<GlobalOptions & Options>();
    await work(createContext(terminal, options), this.args, options);
  };
}

function createContext(terminal: Terminal, options: GlobalOptions): Context {
  const { env } = terminal;
  const logins = openLoginStore(env);
  const url = originOf(options.url ?? (env["BIFROST_URL"] || (logins.current() ?? DEFAULT_URL)));
  const stored = () => (env["BIFROST_TOKEN"] || env["BIFROST_API_KEY"] ? null : logins.find(url));
  const org = () => options.org ?? (env["BIFROST_ORG"] || (stored()?.org ?? null));
  const connect = (secret: string | null, orgId: string | null) =>
    createApi({ url, secret, org: orgId, loginHint: loginHint(url) });
  return {
    terminal,
    output: createOutput(terminal, options.json === true),
    logins,
    url,
    org,
    apiWith: (secret) => connect(secret, options.org ?? (env["BIFROST_ORG"] || null)),
    api() {
      const secret = env["BIFROST_TOKEN"] || env["BIFROST_API_KEY"] || stored()?.token;
      if (secret) return connect(secret, org());
      throw new CliFailure(EXIT.notAuthenticated, `Not logged in to ${url}.`, {
        code: "cli.not_logged_in",
        hint: loginHint(url),
      });
    },
  };
}

function loginHint(url: string): string {
  return `Log in with "bifrost login${url === DEFAULT_URL ? "" : ` --url ${url}`}", or set BIFROST_API_KEY.`;
}

function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "") return url.origin;
  throw new CliFailure(EXIT.usage, `"${text}" is not the address of a gateway.`, {
    code: "cli.usage",
    hint: "Write scheme, host and port, such as https://bifrost.example.com or http://127.0.0.1:3333.",
  });
}

export interface ConfigFlags {
  readonly config?: string;
}

/** What `config check` takes besides. */
export interface SourceFlags extends ConfigFlags {
  readonly configStdin?: boolean;
  readonly env?: string;
}

/** What `serve` takes. */
export interface ServeFlags extends SourceFlags {
  readonly listen?: string;
  readonly routed?: boolean;
  readonly unified?: boolean;
  readonly logDir?: string;
  readonly payloadDir?: string;
  readonly payloadPathPrefix?: string;
  readonly payloadSizeThreshold?: string;
  readonly shutdownTimeout?: string;
}

/** The options by which a gateway's settings can be given. */
export function addSourceOptions(command: Command): Command {
  return addConfigOption(command)
    .option(
      "--config-stdin",
      "read the configuration as one JSON document from standard input; --config is not read then",
    )
    .option("--env <file>", "file of NAME=value lines, which win over the environment");
}

/** The option of commands that work on the gateway's own files and database. */
export function addConfigOption(command: Command): Command {
  return command.option("-c, --config <file>", "configuration file, TOML or JSON (default: BIFROST_CONFIG, else none)");
}

export interface ListFlags {
  readonly limit?: number;
  readonly all?: boolean;
}

/** The options that every list has. */
export function addListOptions(command: Command): Command {
  return command
    .option("--limit <n>", "show at most so many (default: 50; with --json: all)", positive)
    .option("--all", "show all");
}

/** Fetches and writes a list; says when there is more. */
export async function printList(
  context: Context,
  path: string,
  flags: ListFlags,
  view: {
    readonly columns: readonly Column[];
    readonly empty: string;
    readonly query?: Readonly<Record<string, string | undefined>>;
  },
): Promise<void> {
  const limit = flags.all ? null : (flags.limit ?? (context.output.json ? null : 50));
  const { items, more } = await context.api().list(path, { limit, query: view.query ?? {} });
  context.output.list(items, view.columns, view.empty);
  if (more) context.output.note(`The first ${items.length}; use --all or --limit for more.`);
}

export function positive(text: string): number {
  const number = Number(text);
  if (/^\d{1,9}$/.test(text) && number > 0) return number;
  throw new InvalidArgumentError("Write a whole number above 0.");
}

/** For options that can be repeated. */
export function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** The fields that were given; those left out stay as they are on the gateway. */
export function given(fields: Readonly<Record<string, unknown>>): Item {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** @throws CliFailure when an update names nothing to change */
export function requireChange(fields: Item, options: string): Item {
  if (Object.keys(fields).length > 0) return fields;
  throw new CliFailure(EXIT.usage, `Nothing to change: give at least one of ${options}.`, { code: "cli.usage" });
}

/** Example lines for a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}`;
}
