import { type JsonText, withMembers } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import { META } from "../../mcp-links/eras/envelope.ts";
import { REVISION_2026, type ServerHello } from "../../mcp-links/types.ts";

/**
 * The answer to `server/discover`. Only revisions that a request's `_meta` may name are listed: to those of the 2025 era
 * belongs `initialize`, which tells its own. `tasks` was part of the core then and is not now. `gateway` is the
 * Implementation object for a server that does not say who it is.
 */
export function discoverReply({ capabilities, info, instructions }: ServerHello, gateway: JsonText): Reply {
  return {
    result: withMembers("{}", {
      supportedVersions: JSON.stringify([REVISION_2026]),
      capabilities: withMembers(capabilities, { tasks: undefined }),
      instructions: instructions === undefined ? undefined : JSON.stringify(instructions),
      _meta: withMembers("{}", { [META.serverInfo]: info ?? gateway }),
    }),
  };
}
