/** What a request asks of the limits of one key. */
export interface LimitRequest {
  readonly keyUid: string;
  /** Requests per minute. */
  readonly rateLimit: number;
  readonly maxConcurrency: number | null;
}

export type LimitVerdict =
  | {
      readonly admitted: true;
      /** Requests left in the window. */
      readonly remaining: number;
      /** Until the window is empty again if nothing more is sent. */
      readonly resetMs: number;
      /** Gives the concurrency place back. Call exactly once, however the request ends; further calls do nothing. */
      release(): void;
      /** Also gives the rate unit back: for a request that a later check refused. */
      undo(): void;
    }
  | {
      readonly admitted: false;
      readonly reason: "rate" | "concurrency";
      /** When trying again can succeed. */
      readonly retryAfterMs: number;
      readonly remaining: number;
      readonly resetMs: number;
    };

/**
 * Rate and concurrency of every key, checked and taken in one step. Of any requests started within any
 * 60 seconds at most `rateLimit` are admitted; a refused one takes nothing. The in-memory form answers
 * at once (no promise), the shared one with a promise: callers await only a promise. The promise rejects with
 * GatewayError `limit.unavailable` where counts cannot be had and the configuration says to refuse.
 */
export interface Limits {
  take(request: LimitRequest): LimitVerdict | Promise<LimitVerdict>;
  close(): Promise<void>;
}
