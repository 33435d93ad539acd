import { randomFillSync } from "node:crypto";

/** Where in which trace something happens (W3C Trace Context). */
export interface TraceContext {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  readonly isSampled: boolean;
}

const FORM = /^(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/;
/** Versions after 00 may have more (Trace Context §4.3), but not without end. */
const LENGTH_MAX = 256;

/** Null for what is no `traceparent`, which is then as if there were none. */
export function parseTraceparent(text: string | undefined): TraceContext | null {
  if (text === undefined || text.length > LENGTH_MAX) return null;
  const [, traceId, spanId, flags] = FORM.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return null;
  if (text.startsWith("00") && text.length !== 55) return null;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, isSampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
}

export interface TraceIds {
  traceId(): string;
  spanId(): string;
}

const POOL_BYTES = 4_096;

/** Random ids. Bytes are drawn many at a time: one call of the generator costs more than an id. */
export function createTraceIds(): TraceIds {
  const pool = Buffer.allocUnsafe(POOL_BYTES);
  let used = POOL_BYTES;
  function take(bytes: number): string {
    if (used + bytes > POOL_BYTES) {
      randomFillSync(pool);
      used = 0;
    }
    used += bytes;
    const id = pool.toString("hex", used - bytes, used);
    return /^0+$/.test(id) ? take(bytes) : id;
  }
  return { traceId: () => take(16), spanId: () => take(8) };
}
