import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engines, type TestDatabase } from "../../test/support/engines.ts";
import { isForeignKeyViolation, isUniqueViolation } from "./errors.ts";

describe.each(Object.entries(engines))("errors on %s", (_engine, open) => {
  let database: TestDatabase;
  const org = { uid: "o1", id: "acme", name: "Acme", domain: null, email: null, created_at_ms: 1, updated_at_ms: 1 };
  beforeAll(async () => {
    database = await open();
    await database.db.insertInto("orgs").values(org).execute();
  });
  afterAll(() => database.close());
  const failure = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => null,
      (error: unknown) => error,
    );

  it("recognises a broken primary key", async () => {
    const error = await failure(database.db.insertInto("orgs").values(org).execute());
    expect([isUniqueViolation(error), isForeignKeyViolation(error)]).toEqual([true, false]);
  });

  it("recognises a broken unique rule", async () => {
    const error = await failure(
      database.db
        .insertInto("orgs")
        .values({ ...org, uid: "o2", name: "Other" })
        .execute(),
    );
    expect([isUniqueViolation(error), isForeignKeyViolation(error)]).toEqual([true, false]);
  });

  it("recognises a broken foreign key, also inside a transaction", async () => {
    const row = { org_uid: "none", user_uid: "none", role: "owner", created_at_ms: 1 };
    const error = await failure(
      database.db.transaction().execute((trx) => trx.insertInto("memberships").values(row).execute()),
    );
    expect([isUniqueViolation(error), isForeignKeyViolation(error)]).toEqual([false, true]);
  });

  it("recognises nothing else", async () => {
    const error = await failure(
      database.db
        .insertInto("orgs")
        // @ts-expect-error -- a missing value, as from a bug
        .values({ uid: "o3" })
        .execute(),
    );
    expect(error).toBeInstanceOf(Error);
    expect([isUniqueViolation(error), isForeignKeyViolation(error)]).toEqual([false, false]);
    expect(isUniqueViolation("23505")).toBe(false);
  });

  it("returns counts and Unix milliseconds as numbers", async () => {
    const { db } = database;
    await db.updateTable("orgs").set({ created_at_ms: 1_800_000_000_123 }).execute();
    const row = await db
      .selectFrom("orgs")
      .select((eb) => [eb.fn.countAll<number>().as("n"), eb.fn.max("created_at_ms").as("at")])
      .executeTakeFirst();
    expect(row).toEqual({ n: 1, at: 1_800_000_000_123 });
  });
});
