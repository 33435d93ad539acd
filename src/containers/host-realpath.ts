import { lstatSync, realpathSync } from "node:fs";

/** {@link Realpath} of the machine we run on. Synchronous: used while the configuration is read. */
export function hostRealpath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) throw error;
    throw new Error("a symbolic link leads nowhere", { cause: error });
  }
}
