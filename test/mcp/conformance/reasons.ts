const TEXTS = {
  keys:
    "The scenario asks for the key `user_name` in `inputRequests`. A server of the 2025 era asks without a key, so the " +
    "gateway makes one up: the client gets the same question under another key, and may answer it.",
} as const;

export type Reason = keyof typeof TEXTS;

/** Why a scenario has no equivalent in the other era, and what a client gets instead. */
export const REASONS: ReadonlyMap<Reason, string> = new Map(Object.entries(TEXTS) as [Reason, string][]);
