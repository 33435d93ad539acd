import { type JsonText, type Member, members, stringValue } from "../../jsonrpc/json-slice.ts";
import { META } from "../../mcp-links/eras/envelope.ts";
import type { ClientFacts } from "../../mcp-links/types.ts";

/** Least severe first (RFC 5424, as MCP names them). */
const LOG_LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/** 0 to 7, or -1 for what is no level. */
export function severityOf(level: string | undefined): number {
  return level === undefined ? -1 : LOG_LEVELS.indexOf(level);
}

/** What one request says of its client. */
export interface Envelope {
  readonly revision: string;
  readonly client: ClientFacts;
  /** Of log messages about this request; without it the client gets none (2026-07-28, Logging). */
  readonly logLevel: string | undefined;
  /** As it was sent: a string or an integer. */
  readonly progressToken: JsonText | undefined;
}

/** Why an envelope was refused: which key, and what it must be. Quotes no value. */
export interface EnvelopeProblem {
  readonly key: string;
  readonly problem: string;
}

/** `params._meta`, taken apart. */
export interface RequestMeta {
  readonly values: ReadonlyMap<string, JsonText>;
}

/** The `_meta` of params; undefined where there is none, null where it is not an object. */
export function readMeta(params: JsonText | undefined, parts: readonly Member[]): RequestMeta | null | undefined {
  const meta = parts.find(({ name }) => name === "_meta");
  if (params === undefined || !meta) return undefined;
  if (params[meta.start] !== "{") return null;
  const values = new Map<string, JsonText>();
  for (const { name, start, end } of members(params, meta.start)) values.set(name, params.slice(start, end));
  return { values };
}

/** A string or an integer: what a progress token may be. */
export function isToken(text: JsonText): boolean {
  return text.startsWith('"') || Number.isInteger(Number(text));
}

/** The envelope of a request, or the first thing that is wrong with it, in the order in which the official SDK looks. */
export function readEnvelope({ values }: RequestMeta): Envelope | EnvelopeProblem {
  const capabilities = values.get(META.clientCapabilities);
  if (!values.has(META.protocolVersion)) return { key: META.protocolVersion, problem: "missing" };
  if (capabilities === undefined) return { key: META.clientCapabilities, problem: "missing" };
  const revision = stringValue(values.get(META.protocolVersion));
  if (revision === undefined) return { key: META.protocolVersion, problem: "must be a string" };
  const info = values.get(META.clientInfo) ?? null;
  if (info !== null && !isImplementation(JSON.parse(info)))
    return { key: META.clientInfo, problem: "must be an Implementation object with a name and a version" };
  if (!areCapabilities(JSON.parse(capabilities)))
    return { key: META.clientCapabilities, problem: "must be a ClientCapabilities object" };
  const level = values.get(META.logLevel);
  const logLevel = stringValue(level);
  if (level !== undefined && severityOf(logLevel) === -1)
    return { key: META.logLevel, problem: `must be one of ${LOG_LEVELS.join(", ")}` };
  return { revision, client: { info, capabilities }, logLevel, progressToken: values.get("progressToken") };
}

function isImplementation(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { name, version, title, websiteUrl, description, icons } = value;
  if (typeof name !== "string" || typeof version !== "string") return false;
  if (![title, websiteUrl, description].every((text) => text === undefined || typeof text === "string")) return false;
  return icons === undefined || (Array.isArray(icons) && icons.every(isIcon));
}

function isIcon(value: unknown): boolean {
  if (!isObject(value) || typeof value["src"] !== "string") return false;
  const { mimeType, sizes, theme } = value;
  if (mimeType !== undefined && typeof mimeType !== "string") return false;
  if (theme !== undefined && theme !== "light" && theme !== "dark") return false;
  return sizes === undefined || (Array.isArray(sizes) && sizes.every((size) => typeof size === "string"));
}

function areCapabilities(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { experimental, sampling, elicitation, roots, extensions } = value;
  if (![experimental, extensions].every((map) => map === undefined || isMapOfObjects(map))) return false;
  if (sampling !== undefined && !hasObjects(sampling, ["context", "tools"])) return false;
  if (roots !== undefined && !(isObject(roots) && isOptionalBoolean(roots["listChanged"]))) return false;
  if (elicitation === undefined) return true;
  if (!isObject(elicitation) || !hasObjects(elicitation, ["form", "url"])) return false;
  const { form } = elicitation;
  return !isObject(form) || isOptionalBoolean(form["applyDefaults"]);
}

function hasObjects(value: unknown, names: readonly string[]): boolean {
  return isObject(value) && names.every((name) => value[name] === undefined || isObject(value[name]));
}

function isMapOfObjects(value: unknown): boolean {
  return isObject(value) && Object.values(value).every(isObject);
}

function isOptionalBoolean(value: unknown): boolean {
  return value === undefined || typeof value === "boolean";
}

/** A JSON object, not an array. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
