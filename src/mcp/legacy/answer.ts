import type { ServerResponse } from "node:http";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import type { EventStream } from "./event-stream.ts";
import type { Outlet } from "./session.ts";

/**
 * The answer to one POST: plain JSON where nothing comes before the reply, an event stream from the first message that does.
 * Once it is a stream, a broken connection does not end the call: the client may come back for the rest.
 */
export interface Answer extends Outlet {
  /** The reply, and the end of the answer. */
  finish(message: JsonText): void;
  isStream(): boolean;
  /**
   * To be called at intervals. An answer that was silent for a whole interval becomes a stream: intermediaries cut
   * connections that say nothing, and from then on the client may come back for the rest.
   */
  keepAlive(): void;
}

/** @param openStream null for a client that accepts no event stream, or has no session to come back to */
export function createAnswer(response: ServerResponse, openStream: (() => EventStream) | null): Answer {
  let stream: EventStream | null = null;
  let isFinished = false;
  let isOld = false;

  /** False where there can be none. */
  function begin(): boolean {
    if (!stream) {
      if (!openStream || response.destroyed) return false;
      stream = openStream();
      stream.attach(response);
    }
    return true;
  }

  return {
    isStream: () => stream !== null,
    send(message) {
      if (isFinished || !begin()) return false;
      stream?.send(message);
      return true;
    },
    keepAlive() {
      if (isOld && !isFinished) begin();
      isOld = true;
    },
    finish(message) {
      if (isFinished) return;
      isFinished = true;
      if (stream) {
        stream.send(message);
        stream.finish();
      } else sendJson(response, message);
    },
  };
}

/** A whole JSON-RPC message as the body. */
export function sendJson(response: ServerResponse, message: JsonText, status = 200): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(message) });
  response.end(message);
}
