import { z } from "zod";
import { CliFailure, EXIT, exitCodeOf } from "./failure.ts";
import type { Item } from "./terminal.ts";

const ErrorBody = z.object({
  error: z.string(),
  code: z.string(),
  request_id: z.string().optional(),
  fields: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
});

const TIMEOUT_MS = 30_000;
const PAGE = 200;

/** Given as header `Authorization: Bearer`, whatever its kind. */
export interface ApiOptions {
  readonly url: string;
  readonly secret: string | null;
  readonly org: string | null;
  /** Said with a 401. */
  readonly loginHint: string;
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ListOptions {
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** At most so many items; null for all. */
  readonly limit: number | null;
}

/** The management API, as the commands use it. Every refusal is a {@link CliFailure} with the gateway's own words. */
export interface Api {
  readonly url: string;
  get(path: string, options?: RequestOptions): Promise<Item>;
  /** The reply's body; an empty object where it has none. */
  send(method: "POST" | "PUT" | "DELETE", path: string, options?: RequestOptions): Promise<Item>;
  /**
   * One POST of a JSON text with the credential, for what is not the management API. The answer is given as it is, whatever
   * its status, and may be a stream. @param timeoutMs to its end
   */
  post(path: string, body: string, headers: Readonly<Record<string, string>>, timeoutMs: number): Promise<Response>;
  /** Follows the pages until the limit. `more` tells whether there are more. */
  list(path: string, options: ListOptions): Promise<{ items: Item[]; more: boolean }>;
}

export function createApi(options: ApiOptions): Api {
  const call = (method: string, path: string, request: RequestOptions = {}) => callOnce(options, method, path, request);
  return {
    url: options.url,
    get: async (path, request) => toItem((await call("GET", path, request)).body),
    send: async (method, path, request) => toItem((await call(method, path, request)).body),
    post: (path, body, headers, timeoutMs) =>
      send(options, new URL(path, options.url), "POST", { body, headers, timeoutMs }),
    async list(path, { query = {}, limit }) {
      const items: Item[] = [];
      let cursor: string | undefined;
      do {
        const wanted = limit === null ? PAGE : Math.min(PAGE, limit - items.length);
        const reply = await call("GET", path, { query: { ...query, limit: String(wanted), cursor } });
        if (!Array.isArray(reply.body)) throw notOurs(options.url);
        items.push(...reply.body.map(toItem));
        cursor = reply.nextCursor ?? undefined;
      } while (cursor !== undefined && (limit === null || items.length < limit));
      return { items, more: cursor !== undefined };
    },
  };
}

/** Puts caller-chosen ids into a path; nothing in them can leave their segment. */
export function path(strings: TemplateStringsArray, ...ids: string[]): string {
  return strings.reduce((whole, part, i) => {
    const id = ids[i - 1] ?? "";
    if (id === "" || id === "." || id === "..") {
      throw new CliFailure(EXIT.usage, `"${id}" is not an id.`, { code: "cli.usage" });
    }
    return whole + encodeURIComponent(id) + part;
  });
}

async function callOnce(
  options: ApiOptions,
  method: string,
  path: string,
  { body, query = {}, headers = {} }: RequestOptions,
): Promise<{ body: unknown; nextCursor: string | null }> {
  const url = new URL(path, options.url);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
  const json = body === undefined ? undefined : JSON.stringify(body);
  const response = await send(options, url, method, { body: json, headers, timeoutMs: TIMEOUT_MS });
  let text: string;
  try {
    text = await response.text();
  } catch (error) {
    throw unreachable(options.url, error);
  }
  const parsed = parseJson(text);
  if (!response.ok) throw refusal(options, response.status, parsed);
  if (text !== "" && parsed === undefined) throw notOurs(options.url);
  return { body: parsed, nextCursor: response.headers.get("x-next-cursor") };
}

async function send(
  options: ApiOptions,
  url: URL,
  method: string,
  request: { body: string | undefined; headers: Readonly<Record<string, string>>; timeoutMs: number },
): Promise<Response> {
  const { body, headers, timeoutMs } = request;
  try {
    return await fetch(url, {
      method,
      // A redirect would carry the secret elsewhere.
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
      headers: {
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(options.secret === null ? {} : { authorization: `Bearer ${options.secret}` }),
        ...(options.org === null ? {} : { "x-org-id": options.org }),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    });
  } catch (error) {
    throw unreachable(options.url, error, timeoutMs);
  }
}

function refusal(options: ApiOptions, status: number, body: unknown): CliFailure {
  const parsed = ErrorBody.safeParse(body);
  if (!parsed.success) {
    return new CliFailure(exitCodeOf(status), `${options.url} answered with status ${status}.`, {
      code: "cli.bad_answer",
    });
  }
  const { error, code, request_id: requestId, fields } = parsed.data;
  return new CliFailure(exitCodeOf(status), error, {
    code,
    ...(requestId === undefined ? {} : { requestId }),
    ...(fields === undefined ? {} : { fields }),
    ...(code === "auth.required"
      ? { hint: options.loginHint }
      : code === "request.org_required"
        ? { hint: "Name the organization with --org ID or BIFROST_ORG." }
        : {}),
  });
}

/** Also for a connection that breaks off. */
export function unreachable(url: string, error: unknown, timeoutMs = TIMEOUT_MS): CliFailure {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const reason = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const why =
    reason === "ECONNREFUSED"
      ? "nothing listens there"
      : reason === "ENOTFOUND" || reason === "EAI_AGAIN"
        ? "the host name is unknown"
        : error instanceof Error && error.name === "TimeoutError"
          ? `no answer within ${timeoutMs / 1000} s`
          : reason || "the connection failed";
  return new CliFailure(EXIT.unreachable, `Cannot reach the gateway at ${url}: ${why}.`, {
    code: "cli.unreachable",
    hint: "Start it with `bifrost serve`, or name its address with --url or BIFROST_URL.",
  });
}

function notOurs(url: string): CliFailure {
  return new CliFailure(EXIT.failure, `What answers at ${url} is not a Bifrost gateway.`, { code: "cli.bad_answer" });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function toItem(body: unknown): Item {
  return typeof body === "object" && body !== null && !Array.isArray(body) ? (body as Item) : {};
}
