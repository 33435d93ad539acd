import { GatewayError } from "../../core/errors.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { ServerRequest } from "../../mcp-links/types.ts";

/** One call's end, whoever brings it about: the client, the clock or a revocation. */
export interface CallDeadline {
  readonly signal: AbortSignal;
  abort(reason: GatewayError): void;
  /** What ended it, if it was not the client. */
  reason(): GatewayError | null;
  /** The clock stands while the server waits for the client: people think slowly. */
  whileAsking(ask: (request: ServerRequest, signal: AbortSignal) => Promise<Reply>): typeof ask;
  /** To be called when the call is over. */
  clear(): void;
}

/** @param timeoutMs 0 for no limit */
export function createCallDeadline(client: AbortSignal | undefined, timeoutMs: number): CallDeadline {
  const controller = new AbortController();
  let reason: GatewayError | null = null;
  let asking = 0;
  let leftMs = timeoutMs;
  let startedAt = 0;
  let timer: NodeJS.Timeout | undefined;

  const abort = (why: GatewayError) => {
    reason ??= why;
    controller.abort(why);
  };
  const onClientGone = () => controller.abort();
  if (client?.aborted) controller.abort();
  else client?.addEventListener("abort", onClientGone, { once: true });

  const stop = () => {
    if (timer === undefined) return;
    clearTimeout(timer);
    timer = undefined;
    leftMs -= performance.now() - startedAt;
  };
  const start = () => {
    if (timeoutMs === 0 || controller.signal.aborted) return;
    startedAt = performance.now();
    timer = setTimeout(() => abort(new GatewayError("upstream.timeout")), Math.max(1, leftMs));
  };
  start();

  return {
    signal: controller.signal,
    abort,
    reason: () => reason,
    whileAsking: (ask) => async (request, signal) => {
      if (asking++ === 0) stop();
      try {
        return await ask(request, signal);
      } finally {
        if (--asking === 0) start();
      }
    },
    clear() {
      stop();
      leftMs = timeoutMs;
      client?.removeEventListener("abort", onClientGone);
    },
  };
}
