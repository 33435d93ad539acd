import type { Config, McpTransport } from "../../config/model.ts";

/**
 * Every secret that the configuration gives the gateway. Of the environment and headers of servers, which hold settings and
 * secrets alike, each value counts but for what is plainly none: numbers, paths of lower-case names, media types and a few
 * words. A harmless text that is hidden is a nuisance; a secret that is shown is not.
 */
export function secretsOf(config: Config, masterKeys: readonly Buffer[]): string[] {
  const { gateway, auth } = config;
  const secrets = [
    ...masterKeys.flatMap((key) => [key.toString("hex"), key.toString("base64url"), key.toString("base64")]),
    ...(auth.setupToken === null ? [] : [auth.setupToken]),
    ...(config.database.dialect === "postgres" ? passwordOf(config.database.url) : []),
    ...(config.redisUrl === null ? [] : passwordOf(config.redisUrl)),
    ...config.credentials.map(({ secret }) => secret),
    ...gateway.agents.map(({ secret }) => secret),
    ...Object.values(gateway.telemetry?.headers ?? {}).flatMap(headerSecrets),
    ...config.mcpServers.flatMap(({ transport }) => transportSecrets(transport)),
  ];
  return [...new Set(secrets)].filter((secret) => !isPlain(secret));
}

function transportSecrets(transport: McpTransport): string[] {
  if (transport.kind === "stdio") return [...Object.values(transport.env), ...argumentSecrets(transport.args)];
  const url = new URL(transport.url);
  return [
    ...Object.values(transport.headers).flatMap(headerSecrets),
    ...url.searchParams.values(),
    ...passwordOf(transport.url),
    ...(transport.auth.kind === "oauth" ? [transport.auth.clientSecret] : []),
  ];
}

/** The value, what follows a scheme, and the password in a Basic one. */
function headerSecrets(value: string): string[] {
  const [, scheme, rest] = /^([A-Za-z][\w-]*) +(.+)$/.exec(value) ?? [];
  if (scheme === undefined || rest === undefined) return [value];
  const [, password] = scheme.toLowerCase() === "basic" ? splitOnce(Buffer.from(rest, "base64").toString("utf8")) : [];
  return [value, rest, ...(password === undefined ? [] : [password])];
}

/** `--api-key=value` and `--token value`. */
function argumentSecrets(args: readonly string[]): string[] {
  return args.flatMap((argument, at) => {
    const [, name, value] = /^-{0,2}([\w-]+)(?:=(.*))?$/s.exec(argument) ?? [];
    if (name === undefined || !/key|token|secret|passw|credential|auth/i.test(name)) return [];
    return value ?? args[at + 1] ?? [];
  });
}

function passwordOf(url: string): string[] {
  const password = URL.parse(url)?.password ?? "";
  if (password === "") return [];
  try {
    return [password, decodeURIComponent(password)];
  } catch {
    return [password];
  }
}

function splitOnce(text: string): string[] {
  const at = text.indexOf(":");
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

const WORDS: ReadonlySet<string> = new Set([
  "application/json",
  "development",
  "disabled",
  "enabled",
  "localhost",
  "production",
  "readonly",
  "read-only",
  "read-write",
  "text/event-stream",
]);

function isPlain(value: string): boolean {
  return WORDS.has(value) || /^-?\d{1,10}(?:\.\d+)?$/.test(value) || PATH.test(value);
}

/** A key in base64 may begin with a slash, but has capitals within. */
const PATH = /^(?:~|\.{1,2})?(?:\/[A-Za-z]?[a-z0-9._-]{0,31})+\/?$/;
