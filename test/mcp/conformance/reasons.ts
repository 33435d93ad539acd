const TEXTS = {
  keys:
    "`inputRequests` has other keys than the scenario wants (`user_name`): a server of the 2025 era asks without a key, so " +
    "the gateway makes one up (`elicitation-1`). The client gets the same question, and may answer it.",
  unasked:
    "The scenario answers before it is asked. A server of the 2025 era asks in the middle of a call, so there is nothing yet " +
    "that the answers could belong to: the client gets `input_required`, with the question.",
  undeclared:
    "The scenario wants the error -32021 of a tool that needs what the client did not declare. A server on SDK v2 finds that " +
    "out by itself and, in the 2025 era, says so in a tool result with `isError`, which the gateway hands on as it is. (A " +
    "server that asks nevertheless, and fails, is answered with -32021 by the gateway.)",
} as const;

export type Reason = keyof typeof TEXTS;

/** Why a scenario has no equivalent in the other era, and what a client gets instead. */
export const REASONS: ReadonlyMap<Reason, string> = new Map(Object.entries(TEXTS) as [Reason, string][]);
