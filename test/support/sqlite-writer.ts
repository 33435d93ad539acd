import { writeSync } from "node:fs";
import { openDatabase } from "../../src/storage/open-database.ts";

// Writes without end, 20 at a time, and prints each name once its write has been acknowledged. Argument: the file.
const db = openDatabase({ dialect: "sqlite", path: process.argv[2] ?? "" });

async function write(lane: number): Promise<void> {
  for (let n = 0; ; n++) {
    const name = `${lane}-${n}`;
    if (n % 2 === 0) await db.insertInto("instance_settings").values({ name, value: "x" }).execute();
    else {
      await db.transaction().execute(async (trx) => {
        await trx.insertInto("instance_settings").values({ name, value: "" }).execute();
        await trx.updateTable("instance_settings").set({ value: "x" }).where("name", "=", name).execute();
      });
    }
    writeSync(1, `${name}\n`);
  }
}

await Promise.all(Array.from({ length: 20 }, (_, lane) => write(lane)));
