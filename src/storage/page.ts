import { type RawBuilder, sql, type SqlBool } from "kysely";
import { GatewayError } from "../core/errors.ts";

/** Where a list continues: after the row with this creation time and uid, newest first. */
export interface Cursor {
  readonly createdAtMs: number;
  readonly uid: string;
}

export interface PageRequest {
  /** 1 to 200. */
  readonly limit: number;
  readonly after: Cursor | null;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Null on the last page. */
  readonly next: Cursor | null;
}

/** Splits `limit + 1` rows, as the stores read them, into a page and the cursor of the next one. */
export function toPage<T extends Cursor>(rows: readonly T[], limit: number): Page<T> {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items, next: rows.length > limit && last ? { createdAtMs: last.createdAtMs, uid: last.uid } : null };
}

/** The condition that a list, newest first by `created_at_ms` and `uid`, continues behind a cursor. */
export function isAfter(cursor: Cursor): RawBuilder<SqlBool> {
  // Row values compare from left to right, the same on both engines.
  return sql<SqlBool>`(created_at_ms, uid) < (${cursor.createdAtMs}, ${cursor.uid})`;
}

/** Opaque to clients; holds nothing secret. */
export function encodeCursor(cursor: Cursor): string {
  return Buffer.from(`${cursor.createdAtMs}.${cursor.uid}`).toString("base64url");
}

/** @throws GatewayError `request.invalid` for anything {@link encodeCursor} did not make. */
export function decodeCursor(text: string): Cursor {
  const match = /^(\d{1,16})\.([A-Za-z0-9_.-]{1,80})$/.exec(Buffer.from(text, "base64url").toString("utf8"));
  const cursor = match?.[1] && match[2] ? { createdAtMs: Number(match[1]), uid: match[2] } : null;
  if (!cursor || !Number.isSafeInteger(cursor.createdAtMs) || encodeCursor(cursor) !== text) {
    throw new GatewayError("request.invalid", {
      message: "invalid cursor",
      fields: [{ path: "cursor", message: "Pass the cursor of the previous page unchanged, or leave it out." }],
    });
  }
  return cursor;
}
