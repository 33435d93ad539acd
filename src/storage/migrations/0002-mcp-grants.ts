import type { Kysely } from "kysely";

/** Grants of MCP servers also name prompts, resources and what arguments may be. One column per statement: SQLite. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const column of ["prompts", "resources", "arguments"]) {
    await db.schema.alterTable("grants").addColumn(column, "text").execute();
  }
}
