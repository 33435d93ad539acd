/** Whether an error is a broken UNIQUE or PRIMARY KEY rule, on either engine. */
export function isUniqueViolation(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // PostgreSQL: SQLSTATE 23505. SQLite: extended result codes 2067 (UNIQUE) and 1555 (PRIMARY KEY).
  if ("code" in error && error.code === "23505") return true;
  return "errcode" in error && (error.errcode === 2067 || error.errcode === 1555);
}

/** Whether an error is a broken FOREIGN KEY rule, on either engine. */
export function isForeignKeyViolation(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ("code" in error && error.code === "23503") return true;
  return "errcode" in error && error.errcode === 787;
}
