import { GatewayError } from "../../core/errors.ts";

/** Why a request ended that its caller gave up: the caller's own reason where it is one of ours (a time limit). */
export function cancelled(signal: AbortSignal): GatewayError {
  const reason: unknown = signal.reason;
  return reason instanceof GatewayError
    ? reason
    : new GatewayError("upstream.reset", { message: "the request was cancelled", cause: reason });
}
