/** A real upstream secret, without the secret: what lists and checks need. "Root key" on the API path. */
export interface Credential {
  readonly uid: string;
  readonly orgUid: string;
  /** Chosen by its creator, unique in the org. */
  readonly id: string;
  /** Last four characters, only of secrets long enough that four give nothing away; else null. */
  readonly hint: string | null;
  /** Origins the secret may be sent to. Empty until the first service uses it, which binds it. */
  readonly origins: readonly string[];
  /** Counts up with each new secret. */
  readonly version: number;
  readonly managedBy: "api" | "config";
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

const HINT_LENGTH = 4;
/** A hint of four must leave at least this many characters unknown. */
const MIN_HIDDEN = 12;

/** The part of a secret that may be shown, or null when it is too short to show any. */
export function hintOf(secret: string): string | null {
  return secret.length >= HINT_LENGTH + MIN_HIDDEN ? secret.slice(-HINT_LENGTH) : null;
}
