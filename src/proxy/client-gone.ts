import type { IncomingMessage } from "node:http";

/** The client left before there was an answer: nobody can be told, and nothing was refused. */
export class ClientGone extends Error {
  override readonly name = "ClientGone";

  constructor() {
    super("the client went away");
  }
}

/** As long as a client may go on sending a body that nobody wants. */
const LINGER_MS = 10_000;

/**
 * After an answer that did not wait for the end of the request's body. Closing now would reset the
 * connection under a client that still sends, and it would never see the answer (RFC 9112 §9.6). So the
 * rest is read and thrown away, for ten seconds at most.
 */
export function discardRest(req: IncomingMessage): void {
  if (req.complete || req.socket.destroyed) return;
  const timer = setTimeout(() => req.socket.destroy(), LINGER_MS);
  req.once("close", () => clearTimeout(timer));
  // Whoever was reading wants no more of it, and must not stop the flow.
  req.removeAllListeners("data");
  req.resume();
}
