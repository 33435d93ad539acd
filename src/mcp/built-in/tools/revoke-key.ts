import { z } from "zod";
import { invalidArguments } from "../parse-arguments.ts";
import { requiredText } from "./arguments.ts";
import { defineTool, whoeverHasKeys } from "./tool.ts";

/** Ends one of the caller's own keys at once. Somebody else's key answers exactly like an unknown one. */
export const revokeKey = defineTool({
  name: "revoke_key",
  title: "Revoke a key",
  description: "Revoke one of your virtual keys at once, by its `key_id`. Do this as soon as you no longer need it.",
  annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true, openWorldHint: false },
  input: z.strictObject({ key_id: requiredText(128, "Public id of the key, as `list_my_keys` shows it.") }),
  output: z.object({ key_id: z.string(), revoked: z.boolean() }),
  isOffered: whoeverHasKeys,
  async run(deps, caller, input) {
    if (!(await deps.revokeKey(caller, input.key_id)))
      throw invalidArguments([{ argument: "key_id", problem: "names no key of yours" }]);
    return { key_id: input.key_id, revoked: true };
  },
});
