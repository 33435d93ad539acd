import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";

/** The gateway's own tools, whose names are the same in unified mode. */
const BUILT_IN: ReadonlySet<string> = new Set(["list_services", "request_key", "list_my_keys", "revoke_key"]);

/**
 * Stands in front of unified mode and gives the tools, prompts and resources of one server the names that they have on the
 * server itself: `server___x` is `x`, and `bifrost://server/x` is `x`. So the suite, which knows only its own names, can be
 * run against unified mode.
 */
export async function startRenameProxy(target: string, server: string) {
  const { hostname, port, pathname } = new URL(target);
  const rename = createRenaming(server);

  async function forward(incoming: IncomingMessage, reply: ServerResponse) {
    const body = await readText(incoming);
    const { method, url: path, headers } = incoming;
    const changed = rename.request(body);
    const name = headers["mcp-name"];
    const outgoing = request({
      hostname,
      port,
      path,
      method,
      headers: {
        ...headers,
        ...(typeof name === "string" ? { "mcp-name": rename.header(name, body) } : {}),
        ...(method === "POST" ? { "content-length": Buffer.byteLength(changed) } : {}),
      },
    });
    reply.on("close", () => outgoing.destroy());
    outgoing.on("error", () => reply.destroy());
    outgoing.on("response", (answer) => void relay(answer, reply));
    outgoing.end(changed);
  }

  async function relay(answer: IncomingMessage, reply: ServerResponse) {
    const { "content-length": _length, ...headers } = answer.headers;
    reply.writeHead(answer.statusCode ?? 502, headers);
    reply.flushHeaders();
    try {
      if (!headers["content-type"]?.includes("text/event-stream")) reply.write(rename.response(await readText(answer)));
      // A line holds a whole message, so no name is cut in two.
      else for await (const line of createInterface(answer)) reply.write(`${rename.response(line)}\n`);
      reply.end();
    } catch {
      reply.destroy();
    }
  }

  const front = createServer((incoming, reply) => void forward(incoming, reply));
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  const own = (front.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${own}${pathname}`,
    async [Symbol.asyncDispose]() {
      front.closeAllConnections();
      await new Promise((resolve) => front.close(resolve));
    },
  };
}

/** Text edits, so that nothing else of a message changes on the way. */
export function createRenaming(server: string) {
  const prefix = `${server}___`;
  const scheme = `bifrost://${server}/`;
  const methods = new Set(["tools/call", "prompts/get"]);
  const prefixed = (name: string) => (BUILT_IN.has(name) ? name : prefix + name);

  const schemed = (uri: string) => scheme + uri;

  function request(body: string): string {
    const params = paramsOf(body);
    if (params === null) return body;
    const { name, uri, ref, notifications } = params;
    const edits: [string, string][] = [];
    const say = (key: string, value: unknown, rename: (value: string) => string) => {
      if (typeof value === "string") edits.push([quoted(key, value), quoted(key, rename(value))]);
    };
    if (methods.has(methodOf(body))) say("name", name, prefixed);
    if (methodOf(body).startsWith("resources/")) say("uri", uri, schemed);
    if (isObject(ref)) {
      say("name", ref["name"], prefixed);
      say("uri", ref["uri"], schemed);
    }
    const uris = isObject(notifications) ? notifications["resourceSubscriptions"] : undefined;
    if (Array.isArray(uris)) for (const each of uris) edits.push([JSON.stringify(each), JSON.stringify(scheme + each)]);
    return edits.reduce((text, [from, to]) => text.replace(from, () => to), body);
  }

  return {
    request,
    /** Keeps white space around the name, which a scenario puts there. */
    header(value: string, body: string): string {
      const rename = methodOf(body).startsWith("resources/") ? schemed : prefixed;
      return value.replace(value.trim(), rename);
    },
    response: (text: string) => text.replaceAll(prefix, "").replaceAll(scheme, ""),
  };
}

/** A member as `JSON.stringify` writes it, which is how the suite writes. */
const quoted = (key: string, value: string) => `${JSON.stringify(key)}:${JSON.stringify(value)}`;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

function parsed(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function methodOf(body: string): string {
  const { method } = parsed(body);
  return typeof method === "string" ? method : "";
}

function paramsOf(body: string): Record<string, unknown> | null {
  const { params } = parsed(body);
  return isObject(params) ? params : null;
}

async function readText(stream: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) text += chunk;
  return text;
}
