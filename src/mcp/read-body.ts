import type { IncomingMessage } from "node:http";
import { GatewayError } from "../core/errors.ts";

/** How much more than allowed is still read, and thrown away, so that the refusal reaches a client that is busy sending. */
const DRAIN_FACTOR = 4;

/**
 * The request's body, held in memory, never more than `maxBytes` of it. Null when the client went away. How long a client
 * may take is the HTTP server's `requestTimeout`.
 *
 * @throws GatewayError `request.too_large`; of a far too large body the rest is left unread, so the connection must be closed
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Uint8Array | null> {
  if (Number(request.headers["content-length"] ?? 0) > maxBytes * DRAIN_FACTOR)
    throw new GatewayError("request.too_large");
  const pieces: Buffer[] = [];
  let received = 0;
  try {
    // Not destroyed when the loop is left: the refusal still has to be written to the same socket.
    for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      received += piece.length;
      if (received > maxBytes * DRAIN_FACTOR) break;
      if (received <= maxBytes) pieces.push(piece);
      else pieces.length = 0;
    }
  } catch {
    return null;
  }
  if (received > maxBytes) throw new GatewayError("request.too_large");
  return Buffer.concat(pieces);
}
