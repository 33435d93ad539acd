import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { GatewayError } from "../core/errors.ts";
import { hasBody } from "./request-headers.ts";

export interface OutboundBody {
  readonly content: Readable | Buffer | null;
  /** What `Content-Length` says; null where there is none (no body, or a chunked one). */
  readonly length: string | null;
}

const NONE: OutboundBody = { content: null, length: null };

/**
 * Bodies that declare no more than this are sent in one piece. Not a policy's look at the body, but the
 * cheapest way to forward one: a stream costs more than the bytes (docs/decisions/0004-small-bodies.md has
 * the measurement), and a client that trickles a small body occupies no upstream connection.
 */
const ONE_PIECE_BYTES = 16 * 1024;

/**
 * The client's body as it will be sent on. Larger ones, and those that do not say how large they are, are
 * streamed with back-pressure and never held.
 *
 * @throws GatewayError `request.invalid` when the client ends a small body before its declared length
 */
export function requestBody(req: IncomingMessage): OutboundBody | Promise<OutboundBody> {
  if (!hasBody(req)) return NONE;
  const length = req.headers["content-length"] ?? null;
  if (length === null || Number(length) > ONE_PIECE_BYTES) return { content: req, length };
  return collect(req, length);
}

function collect(req: IncomingMessage, length: string): Promise<OutboundBody> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.once("end", () => {
      const [first] = chunks;
      resolve({ content: chunks.length === 1 && first ? first : Buffer.concat(chunks), length });
    });
    req.once("close", () => {
      // Also follows a body that was read to its end; an error costs too much to be made for nothing.
      if (!req.complete) reject(new GatewayError("request.invalid", { message: "the request body ended early" }));
    });
  });
}
