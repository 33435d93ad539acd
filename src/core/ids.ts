import { randomBytes } from "node:crypto";
import { encodeBase62 } from "./base62.ts";

/**
 * Public ids: safe in paths, logs, labels and headers. The prefix says what the id names:
 * `org`, `usr` user, `sa` service account, `ses` session, `cred` root key, `svc` service,
 * `vk` virtual key, `aud` audit entry, `req` request.
 */
export type IdPrefix = "org" | "usr" | "sa" | "ses" | "cred" | "svc" | "vk" | "aud" | "req";

/** A new public id with 128 random bits, such as `vk_5hJ0…`. Not a secret. */
export function newId(prefix: IdPrefix): string {
  return `${prefix}_${encodeBase62(randomBytes(16), 22)}`;
}

/**
 * Ids that a caller chooses (root keys, services, keys, service accounts, organizations):
 * 1 to 64 characters of a-z A-Z 0-9 . _ -, starting with a letter or digit. They appear in paths,
 * so no dot segment and no separator can be one.
 */
export const CALLER_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** What `X-Agent-ID` may be. `.` and `..` are refused apart: {@link isAgentId}. */
const AGENT_ID = /^[A-Za-z0-9._:@-]{1,128}$/;

/** Whether a text is a well-formed agent id. Anything else is never used as a path, label or log field. */
export function isAgentId(text: string): boolean {
  return AGENT_ID.test(text) && text !== "." && text !== "..";
}

/**
 * A request id that a client may choose: 8 to 128 visible characters that need no quoting anywhere. Not one that
 * begins like a secret of ours: it would be logged and sent to the upstream.
 */
const REQUEST_ID = /^(?!bf[kustx]_)[A-Za-z0-9._:-]{8,128}$/;

/** The client's request id where it is well formed, else a new one. */
export function requestIdFrom(header: string | undefined): string {
  return header !== undefined && REQUEST_ID.test(header) ? header : newRequestId();
}

let requestIdBlock = Buffer.alloc(0);
let requestIdOffset = 0;

/** As unguessable as {@link newId}, but drawn from a block: one system call for 256 requests. */
function newRequestId(): string {
  if (requestIdOffset >= requestIdBlock.length) {
    requestIdBlock = randomBytes(16 * 256);
    requestIdOffset = 0;
  }
  const text = requestIdBlock.toString("hex", requestIdOffset, requestIdOffset + 16);
  requestIdOffset += 16;
  return `req_${text}`;
}
