import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Node's options for a CPU profile that is written to a folder when the process ends. */
export function profileOptions(folder: string): string[] {
  return ["--cpu-prof", `--cpu-prof-dir=${folder}`];
}

/** Self time per function and per area of the profile in a folder, largest first, as shares of the time not idle. */
export function describeProfile(folder: string, count: number): string[] {
  const file = readdirSync(folder).find((name) => name.endsWith(".cpuprofile"));
  if (file === undefined) throw new Error(`no CPU profile in ${folder}`);
  const profile: Profile = JSON.parse(readFileSync(join(folder, file), "utf8"));
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const functions = new Map<string, number>();
  const areas = new Map<string, number>();
  let total = 0;
  profile.samples.forEach((sample, index) => {
    const frame = frames.get(sample);
    const us = profile.timeDeltas[index] ?? 0;
    if (frame === undefined || frame.functionName === "(idle)") return;
    total += us;
    const place = shortPlace(frame.url);
    add(functions, `${frame.functionName || "(anonymous)"} ${place}:${frame.lineNumber + 1}`, us);
    add(areas, areaOf(place, frame.functionName), us);
  });
  const lines = (of: Map<string, number>, most: number): string[] =>
    [...of]
      .sort((a, b) => b[1] - a[1])
      .slice(0, most)
      .map(([name, us]) => `${((us / total) * 100).toFixed(1).padStart(5)} %  ${name}`);
  return ["by area:", ...lines(areas, 20), "by function:", ...lines(functions, count)];
}

function add(into: Map<string, number>, name: string, us: number): void {
  into.set(name, (into.get(name) ?? 0) + us);
}

function shortPlace(url: string): string {
  if (!url.startsWith("file://")) return url;
  return relative(root, fileURLToPath(url)).replace(/^.*node_modules\//, "");
}

/** Our folders, each package, Node's own JavaScript, and what V8 and the kernel do. */
function areaOf(place: string, functionName: string): string {
  if (place.startsWith("node:")) return "node: (its JavaScript)";
  if (place.startsWith("wasm:")) return "undici (its parser)";
  if (place !== "")
    return place
      .split("/")
      .slice(0, place.startsWith("src/") ? 2 : 1)
      .join("/");
  return functionName.startsWith("(") ? functionName : "native calls (writev, crypto, …)";
}
