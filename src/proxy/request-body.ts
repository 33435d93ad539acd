import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { ClientGone } from "./client-gone.ts";
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
 * streamed with back-pressure and never held. A client that sends nothing for `idleMs` (0: no limit) in the
 * middle of its body is cut off.
 *
 * @throws ClientGone when the client leaves before the end of a small body
 */
export function requestBody(req: IncomingMessage, idleMs: number): OutboundBody | Promise<OutboundBody> {
  if (!hasBody(req)) return NONE;
  const length = req.headers["content-length"] ?? null;
  if (length === null || Number(length) > ONE_PIECE_BYTES) {
    cutOffWhenIdle(req, idleMs);
    return { content: streamOf(req), length };
  }
  return collect(req, length, idleMs);
}

function collect(req: IncomingMessage, length: string, idleMs: number): Promise<OutboundBody> {
  return new Promise((resolve, reject) => {
    // Gone already, while the gate waited: no further event would say so.
    if (req.destroyed) return reject(new ClientGone());
    const chunks: Buffer[] = [];
    // Most small bodies come in one packet with the head, and are complete when that has been parsed.
    queueMicrotask(() => {
      if (!req.complete) cutOffWhenIdle(req, idleMs);
    });
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.once("end", () => {
      const [first] = chunks;
      resolve({ content: chunks.length === 1 && first ? first : Buffer.concat(chunks), length });
    });
    // Also follows a body that was read to its end; an error costs too much to be made for nothing.
    req.once("close", () => {
      if (!req.readableEnded) reject(new ClientGone());
    });
  });
}

/**
 * The body as a stream of its own. The client that sends it upstream destroys its body when the upstream
 * answers early or fails; were that the request itself, the client's connection would go with it, and with
 * that the answer.
 */
function streamOf(req: IncomingMessage): Readable {
  const body = new Readable({
    read: () => void req.resume(),
    destroy(error, callback) {
      req.off("data", pass);
      callback(error);
    },
  });
  // It may end with an error before anybody else listens, or after.
  body.on("error", () => undefined);
  const pass = (chunk: Buffer) => {
    if (!body.push(chunk)) req.pause();
  };
  req.on("data", pass);
  req.pause();
  req.once("end", () => void (body.destroyed || body.push(null)));
  req.once("close", () => {
    if (!body.readableEnded && !req.complete) body.destroy(new ClientGone());
  });
  return body;
}

function cutOffWhenIdle(req: IncomingMessage, idleMs: number): void {
  if (idleMs === 0) return;
  req.setTimeout(idleMs, () => req.destroy());
  // The wait for the answer has limits of its own.
  req.once("end", () => req.setTimeout(0));
}
