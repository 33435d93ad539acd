import { elements, type JsonText, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";

/** Between server and name. No name of a server holds it or ends with `_`, so the first one in a name is the separator. */
const SEPARATOR = "___";

/** Of resources in unified mode: `bifrost://{server}/{the server's own URI}`, a valid URI whatever the server's is. */
const SCHEME = "bifrost://";

export interface ServersOwn {
  readonly server: string;
  /** The server's own name or URI. */
  readonly name: string;
}

/** The name of a server's tool or prompt among those of all servers. Two never have the same. */
export function unifiedName(server: string, name: string): string {
  return `${server}${SEPARATOR}${name}`;
}

/** Null for what no server can have. */
export function readUnifiedName(name: string): ServersOwn | null {
  const at = name.indexOf(SEPARATOR);
  return at <= 0 ? null : { server: name.slice(0, at), name: name.slice(at + SEPARATOR.length) };
}

/** The URI, or the template of URIs, of a server's resource among those of all servers. */
export function unifiedUri(server: string, uri: string): string {
  return `${SCHEME}${server}/${uri}`;
}

/** Null for what no server can have. */
export function readUnifiedUri(uri: string): ServersOwn | null {
  if (!uri.startsWith(SCHEME)) return null;
  const at = uri.indexOf("/", SCHEME.length);
  return at === -1 ? null : { server: uri.slice(SCHEME.length, at), name: uri.slice(at + 1) };
}

/**
 * The result of `tools/call`, `prompts/get` or `resources/read` with the URIs of resources as unified mode names them, so
 * that the client can read what it is pointed to. All else stays as the server wrote it.
 */
export function withUnifiedUris(server: string, result: JsonText): JsonText {
  if (!result.includes('"uri"')) return result;
  return withMembers(result, {
    ...mappedArray(result, "content", (item) => mapContent(server, item)),
    ...mappedArray(result, "contents", (item) => mapUri(server, item)),
    ...mappedArray(result, "messages", (message) => {
      const content = memberText(message, "content");
      if (content === undefined) return message;
      const mapped = content.startsWith("[")
        ? mapElements(content, (item) => mapContent(server, item))
        : mapContent(server, content);
      return withMembers(message, { content: mapped });
    }),
  });
}

function mappedArray(
  object: JsonText,
  name: string,
  map: (element: JsonText) => JsonText,
): Readonly<Record<string, JsonText>> {
  const array = memberText(object, name);
  return array?.startsWith("[") ? { [name]: mapElements(array, map) } : {};
}

function mapElements(array: JsonText, map: (element: JsonText) => JsonText): JsonText {
  return `[${elements(array)
    .map(({ start, end }) => map(array.slice(start, end)))
    .join(",")}]`;
}

/** `resource_link` has the URI itself, an embedded `resource` one level down (MCP, Tools, Tool Result). */
function mapContent(server: string, item: JsonText): JsonText {
  const type = stringValue(memberText(item, "type"));
  if (type === "resource_link") return mapUri(server, item);
  const resource = type === "resource" ? memberText(item, "resource") : undefined;
  return resource === undefined ? item : withMembers(item, { resource: mapUri(server, resource) });
}

function mapUri(server: string, object: JsonText): JsonText {
  const uri = stringValue(memberText(object, "uri"));
  return uri === undefined ? object : withMembers(object, { uri: JSON.stringify(unifiedUri(server, uri)) });
}
