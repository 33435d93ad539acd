import { rmSync, mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { type PostgresServer, startPostgres } from "./postgres-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Socket of the run's one PostgreSQL: whoever connects is told its URL, the first one makes it start. */
    postgresBroker: string;
  }
}

/**
 * One PostgreSQL per test run, shared by all files (each has its own database), started only when a file
 * asks for it. This process owns it; see guarded-process.ts for what happens if this process is killed.
 */
export default function setup(project: TestProject) {
  const dir = mkdtempSync(join(tmpdir(), "bf-test-"));
  let starting: Promise<PostgresServer> | undefined;
  const given = process.env["BIFROST_TEST_POSTGRES_URL"];
  const broker = createServer((socket) => {
    socket.on("error", () => undefined);
    if (given) {
      socket.end(JSON.stringify({ url: given }));
      return;
    }
    starting ??= startPostgres();
    starting.then(
      ({ url }) => socket.end(JSON.stringify({ url })),
      (error: unknown) => socket.end(JSON.stringify({ error: String(error) })),
    );
  });
  const path = join(dir, "postgres.sock");
  project.provide("postgresBroker", path);
  return new Promise<() => Promise<void>>((resolve, reject) => {
    broker.once("error", reject);
    broker.listen(path, () =>
      resolve(async () => {
        broker.close();
        const server = await starting?.catch(() => undefined);
        await server?.stop();
        rmSync(dir, { recursive: true, force: true });
      }),
    );
  });
}
