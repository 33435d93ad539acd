import { z } from "zod";
import { KeyFacts, keyFacts, KeyState, keyState } from "./key-view.ts";
import { defineTool, whoeverHasKeys } from "./tool.ts";

/** More would fill an agent's context; `GET /v1/keys` pages through all. */
const MOST_KEYS = 100;

/** The caller's own keys, newest first; only the named agent's where `X-Agent-ID` was sent. */
export const listMyKeys = defineTool({
  name: "list_my_keys",
  title: "List my keys",
  description: `List the virtual keys issued to you, newest first, at most ${MOST_KEYS}. Secrets are not shown.`,
  annotations: { readOnlyHint: true, openWorldHint: false },
  input: z.strictObject({}),
  output: z.object({
    keys: z.array(z.object({ ...KeyFacts, ...KeyState })),
    truncated: z.boolean().describe("Whether there are more keys than shown."),
  }),
  isOffered: whoeverHasKeys,
  async run(deps, caller) {
    const keys = await deps.listKeys(caller, MOST_KEYS + 1);
    return {
      keys: keys.slice(0, MOST_KEYS).map((key) => ({ ...keyFacts(key), ...keyState(key, deps.now()) })),
      truncated: keys.length > MOST_KEYS,
    };
  },
});
