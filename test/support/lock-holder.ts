import { writeSync } from "node:fs";
import { acquireInstanceLock } from "../../src/storage/instance-lock.ts";

// Takes the instance lock of the SQLite file in the argument, says so, and keeps it until it is killed.
await acquireInstanceLock(
  { dialect: "sqlite", path: process.argv[2] ?? "" },
  { shared: false, onLost: () => undefined },
);
writeSync(1, "held\n");
setInterval(() => undefined, 60_000);
