import { elements, type JsonText, memberText, stringValue } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import { REVISION_2026, type ServerHello } from "../types.ts";
import { META } from "./envelope.ts";

/**
 * What a 2026 server says of itself in answer to `server/discover`; null where the answer is not one of a server that speaks
 * 2026-07-28. Whatever else a server answers, it is a 2025 one: the specification forbids to go by one error code
 * (2026-07-28, stdio, Backward Compatibility).
 */
export function readDiscoverResult(reply: Reply): ServerHello | null {
  if ("error" in reply) return null;
  const { result } = reply;
  const versions = memberText(result, "supportedVersions");
  const capabilities = memberText(result, "capabilities");
  if (versions === undefined || !capabilities?.startsWith("{")) return null;
  if (!elements(versions).some(({ start, end }) => stringValue(versions.slice(start, end)) === REVISION_2026))
    return null;
  return {
    revision: REVISION_2026,
    capabilities,
    info: serverInfo(result),
    instructions: stringValue(memberText(result, "instructions")),
  };
}

function serverInfo(result: JsonText): JsonText | null {
  const meta = memberText(result, "_meta");
  // Beside it, not in `_meta`: drafts of the revision had it there.
  return (meta && memberText(meta, META.serverInfo)) ?? memberText(result, "serverInfo") ?? null;
}
