import { dirname, isAbsolute, join, normalize, relative, sep } from "node:path";

/** A folder of the host from which containers may mount. */
export interface MountRoot {
  /** Canonical: absolute, without symbolic links. */
  readonly path: string;
  readonly isWritable: boolean;
}

/**
 * The path without symbolic links. Throws ENOENT where nothing has this name, and another error for a link that leads
 * nowhere: its target may appear later. host-realpath.ts asks the real file system.
 */
export type Realpath = (path: string) => string;

/** What applies when the configuration names no roots. Workspace and working directory are read-only. */
export function defaultMountRoots(
  places: { readonly workspace: string | null; readonly cwd: string; readonly tempDir: string },
  realpath: Realpath,
): MountRoot[] {
  const readable = places.workspace === null ? [places.cwd] : [places.workspace, places.cwd];
  return canonicalRoots(
    [...readable.map((path) => ({ path, isWritable: false })), { path: places.tempDir, isWritable: true }],
    realpath,
  );
}

/**
 * Roots from entries `path`, `path:ro` or `path:rw`; without a mode read-only.
 *
 * @returns also what is wrong with them: a path that is not absolute, or `/`, which would allow everything and is left out
 */
export function parseMountRoots(
  entries: readonly string[],
  realpath: Realpath,
): { readonly roots: MountRoot[]; readonly problems: string[] } {
  const problems: string[] = [];
  const roots: MountRoot[] = [];
  for (const entry of entries.map((text) => text.trim()).filter((text) => text !== "")) {
    const path = entry.replace(/:(?:ro|rw)$/, "");
    if (!isAbsolute(path)) problems.push(`the root ${JSON.stringify(path)} is not an absolute path`);
    else roots.push({ path, isWritable: entry.endsWith(":rw") });
  }
  const canonical = canonicalRoots(roots, realpath);
  if (roots.some(({ path }) => canonicalPath(path, realpath) === sep)) problems.push("the root / is ignored");
  return { roots: canonical, problems };
}

/** Named twice, a folder is writable only if it is both times. `/` is dropped. */
function canonicalRoots(roots: readonly MountRoot[], realpath: Realpath): MountRoot[] {
  const byPath = new Map<string, MountRoot>();
  for (const root of roots) {
    const path = canonicalPath(root.path, realpath);
    if (path === null || path === sep) continue;
    byPath.set(path, { path, isWritable: root.isWritable && (byPath.get(path)?.isWritable ?? true) });
  }
  return [...byPath.values()];
}

/**
 * Why this path may not be mounted; null when it may. The root nearest above it decides. A writable mount must not have a
 * read-only root below it either: that would be writable through it.
 */
export function judgeSource(
  source: string,
  isWritable: boolean,
  roots: readonly MountRoot[],
  realpath: Realpath,
): string | null {
  const path = canonicalPath(source, realpath);
  if (path === null) return "cannot be resolved";
  const above = roots.filter((root) => isInside(path, root.path)).toSorted((a, b) => b.path.length - a.path.length);
  const [nearest] = above;
  if (nearest === undefined) return "is outside the allowed mount roots";
  if (!isWritable) return null;
  if (!nearest.isWritable) return "may only be mounted read-only; add :ro";
  const hidden = roots.some((root) => !root.isWritable && root.path !== path && isInside(root.path, path));
  return hidden ? "has a read-only root in it, and may only be mounted read-only; add :ro" : null;
}

/** What does not exist yet is made by the runtime, so the nearest existing folder above it decides where it will be. */
function canonicalPath(path: string, realpath: Realpath): string | null {
  const rest: string[] = [];
  for (let current = normalize(path); ; current = dirname(current)) {
    try {
      return stripSlash(join(realpath(current), ...rest));
    } catch (error) {
      const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
      if (!isMissing || dirname(current) === current) return null;
      rest.unshift(current.slice(dirname(current).length).replaceAll(sep, ""));
    }
  }
}

const stripSlash = (path: string): string => (path.length > 1 && path.endsWith(sep) ? path.slice(0, -1) : path);

function isInside(path: string, root: string): boolean {
  const way = relative(root, path);
  return way === "" || (way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}
