// What the servers of this bench answer, over HTTP and stdio alike: as little work as JSON-RPC allows, and no SDK, so
// that what stands before them is measured. Plain JavaScript, so that starting one costs no type stripping.

const LEGACY = "2025-11-25";
const MODERN = "2026-07-28";
const TOOLS = Array.from({ length: 10 }, (_, index) => ({
  name: index === 0 ? "echo" : `tool_${index}`,
  title: `Tool number ${index}`,
  description: `Does what tool number ${index} of ten does, in a description as long as they usually are.`,
  inputSchema: {
    type: "object",
    properties: { message: { type: "string", description: "What to say." }, count: { type: "integer", minimum: 1 } },
    required: ["message"],
  },
}));
const INFO = { name: "bench-upstream", version: "1.0.0" };
const CAPABILITIES = { tools: {} };

/**
 * The reply to one message as text; null for a notification. With `modern`, the revision of 2026 is spoken too.
 * @param {string} text
 * @param {boolean} modern
 * @returns {{ reply: string | null, method: string }}
 */
export function answer(text, modern) {
  const { id, method, params } = JSON.parse(text);
  if (id === undefined || method === undefined) return { reply: null, method: String(method) };
  const stateless = modern && params?._meta?.["io.modelcontextprotocol/protocolVersion"] === MODERN;
  const result = resultOf(method, params, stateless);
  const reply =
    result === null
      ? { jsonrpc: "2.0", id, error: { code: -32601, message: "Method not found" } }
      : { jsonrpc: "2.0", id, result: stateless ? { resultType: "complete", ...result } : result };
  return { reply: JSON.stringify(reply), method };
}

function resultOf(method, params, stateless) {
  const cache = stateless ? { ttlMs: 60_000, cacheScope: "public" } : {};
  switch (method) {
    case "tools/call":
      return { content: [{ type: "text", text: String(params.arguments.message) }] };
    case "tools/list":
      return { tools: TOOLS, ...cache };
    case "ping":
      return {};
    case "initialize":
      return { protocolVersion: LEGACY, capabilities: CAPABILITIES, serverInfo: INFO };
    case "server/discover":
      return stateless ? { supportedVersions: [MODERN], capabilities: CAPABILITIES, serverInfo: INFO, ...cache } : null;
    default:
      return null;
  }
}
