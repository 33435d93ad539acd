import { RPC } from "../../jsonrpc/codes.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import type { ExchangeEvents, ServerRequest } from "../types.ts";

/** Questions that may wait on one link; one more is refused. */
const MAX_HELD = 16;

/**
 * What a server asks before there is anybody to answer: some ask for the client's roots as soon as they are initialized,
 * when the client has not begun to listen, or, as one without a session, has only just asked for the tools.
 */
export interface HeldQuestions {
  readonly size: number;
  /** Waits for {@link HeldQuestions.putTo}, or until the server takes the question back. */
  hold(asked: ServerRequest, signal: AbortSignal): Promise<Reply>;
  /** Resolves, never rejects, when everything held has its answer. */
  putTo(receiver: Pick<ExchangeEvents, "onRequest">): Promise<void>;
  /** Nobody will answer. */
  refuse(): void;
}

const refusal = (why: string): Reply => errorReply(RPC.serverError, why);

export function createHeldQuestions(): HeldQuestions {
  const held = new Map<(reply: Reply | Promise<Reply>) => void, { asked: ServerRequest; signal: AbortSignal }>();

  return {
    get size() {
      return held.size;
    },

    hold(asked, signal) {
      if (held.size >= MAX_HELD) return Promise.resolve(refusal("too many requests wait for the client"));
      return new Promise((resolve) => {
        const withdraw = () => answer(refusal("withdrawn"));
        const answer = (reply: Reply | Promise<Reply>) => {
          held.delete(answer);
          signal.removeEventListener("abort", withdraw);
          resolve(reply);
        };
        held.set(answer, { asked, signal });
        if (signal.aborted) withdraw();
        else signal.addEventListener("abort", withdraw, { once: true });
      });
    },

    async putTo(receiver) {
      const put = [...held].map(([answer, { asked, signal }]) => {
        const reply = receiver.onRequest(asked, signal);
        answer(reply);
        return reply;
      });
      await Promise.allSettled(put);
    },

    refuse() {
      for (const answer of [...held.keys()]) answer(refusal("the conversation has ended"));
    },
  };
}
