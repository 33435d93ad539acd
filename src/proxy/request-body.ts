import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { hasBody } from "./request-headers.ts";

export interface OutboundBody {
  readonly content: Readable | Buffer | null;
  /** What `Content-Length` says; null where there is none (no body, or a chunked one). */
  readonly length: string | null;
}

const NONE: OutboundBody = { content: null, length: null };

/** The client's body as it will be sent on: streamed, with back-pressure, never held as a whole. */
export function requestBody(req: IncomingMessage): OutboundBody {
  if (!hasBody(req)) return NONE;
  return { content: req, length: req.headers["content-length"] ?? null };
}
