import type { IncomingMessage } from "node:http";
import { GatewayError } from "../core/errors.ts";

/** How much more than allowed is still read, and thrown away, so that the refusal reaches a client that is busy sending. */
const DRAIN_FACTOR = 4;

export interface BodyLimits {
  readonly maxBodyBytes: number;
  /** From the first look at the body to its end: nobody holds a connection by sending one byte a second. */
  readonly maxBodyMs: number;
}

/**
 * The request's body, held in memory, never more than `maxBodyBytes` of it. Null when the client went away.
 *
 * @throws GatewayError `request.too_large`, `request.timeout`; the rest of the body may be unread, so the connection must
 *   be closed
 */
export function readBody(request: IncomingMessage, limits: BodyLimits): Promise<Uint8Array | null> {
  const { maxBodyBytes, maxBodyMs } = limits;
  const drainBytes = maxBodyBytes * DRAIN_FACTOR;
  if (Number(request.headers["content-length"] ?? 0) > drainBytes)
    return Promise.reject(new GatewayError("request.too_large"));

  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let received = 0;
    const timer = setTimeout(() => settle(() => reject(new GatewayError("request.timeout"))), maxBodyMs);
    function settle(how: () => void) {
      clearTimeout(timer);
      request.off("data", onData).off("end", onEnd).off("close", onGone).off("error", onGone).pause();
      how();
    }
    function onData(piece: Buffer) {
      received += piece.length;
      if (received <= maxBodyBytes) pieces.push(piece);
      else pieces.length = 0;
      if (received > drainBytes) settle(() => reject(new GatewayError("request.too_large")));
    }
    function onEnd() {
      settle(() =>
        received > maxBodyBytes ? reject(new GatewayError("request.too_large")) : resolve(Buffer.concat(pieces)),
      );
    }
    function onGone() {
      settle(() => resolve(null));
    }
    request.on("data", onData).on("end", onEnd).on("close", onGone).on("error", onGone);
  });
}
