// Attack: several set-up calls at once. Count-then-create made several owners as soon as the store took any
// time, and a failure half-way left an instance that nobody could ever use.
import type { KyselyPlugin } from "kysely";
import { describe, expect, it } from "vitest";
import type { Db } from "../../src/storage/open-database.ts";
import { engines } from "../support/engines.ts";
import { startManagement } from "../support/management.ts";

/** Every statement's result arrives later: what a race needs to show, whatever the engine. */
function delayed(db: Db): Db {
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return result;
    },
  };
  return db.withPlugin(plugin);
}

/** Fails the n-th write to a table, as a full disk or a lost connection would. */
function failing(db: Db, table: string): { db: Db; heal(): void } {
  let broken = true;
  const plugin: KyselyPlugin = {
    transformQuery({ node }) {
      if (broken && node.kind === "InsertQueryNode" && JSON.stringify(node).includes(`"name":"${table}"`)) {
        throw new Error("injected failure");
      }
      return node;
    },
    transformResult: ({ result }) => Promise.resolve(result),
  };
  return { db: db.withPlugin(plugin), heal: () => (broken = false) };
}

describe.each(Object.entries(engines))("set-up on %s", (_engine, open) => {
  it("of 20 parallel calls on a slow store exactly one wins", async () => {
    const gateway = await startManagement({ open, wrapDb: delayed });
    try {
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          gateway.call("POST", "/v1/setup", {
            headers: { "x-setup-token": gateway.setupToken },
            body: { name: `U${i}`, email: `u${i}@example.com` },
          }),
        ),
      );
      expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1);
      expect(answers.filter((answer) => answer.status === 409)).toHaveLength(19);
      expect(await gateway.db.selectFrom("users").select("uid").execute()).toHaveLength(1);
      expect(await gateway.db.selectFrom("memberships").select("role").execute()).toEqual([{ role: "owner" }]);
    } finally {
      await gateway.close();
    }
  });

  it.each(["memberships", "sessions", "audit_entries"])(
    "a failure while writing %s leaves nothing, and set-up runs again",
    async (table) => {
      const faults: { heal(): void }[] = [];
      const wrapDb = (db: Db) => {
        const fault = failing(db, table);
        faults.push(fault);
        return fault.db;
      };
      const gateway = await startManagement({ open, wrapDb });
      try {
        const body = { name: "Olga", email: "olga@example.com" };
        const headers = { "x-setup-token": gateway.setupToken };
        const failed = await gateway.call("POST", "/v1/setup", { headers, body });
        expect([failed.status, failed.body.error]).toEqual([500, "internal error"]);
        expect(await gateway.db.selectFrom("users").select("uid").execute()).toEqual([]);
        for (const fault of faults) fault.heal();
        expect((await gateway.call("POST", "/v1/setup", { headers, body })).status).toBe(201);
      } finally {
        await gateway.close();
      }
    },
  );

  it("without the one-time token nobody sets the instance up, however early they come", async () => {
    const gateway = await startManagement({ open });
    try {
      const body = { name: "Eve", email: "eve@example.com" };
      const answers = await Promise.all(Array.from({ length: 10 }, () => gateway.call("POST", "/v1/setup", { body })));
      for (const answer of answers) expect(answer.status).toBe(401);
      expect((await gateway.setUp()).apiKey).toMatch(/^bfu_/);
    } finally {
      await gateway.close();
    }
  });
});
