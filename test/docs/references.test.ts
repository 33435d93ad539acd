import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";
import { documents } from "./markdown.ts";

/** Without code, in which brackets and paths are examples. */
function prose(path: string): string {
  return readFileSync(path, "utf8").replace(/^```.*?^```$/gms, "");
}

/** As GitHub makes them from headings. */
function anchors(path: string): string[] {
  return [...prose(path).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

describe.each(documents())("%s", (path) => {
  it("links to what exists", () => {
    for (const [link, target = ""] of prose(path).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [file = "", anchor] = target.split("#");
      const place = file === "" ? path : normalize(join(dirname(path), file));
      expect(existsSync(place), `${link} in ${path}`).toBe(true);
      if (anchor !== undefined) expect(anchors(place), `${link} in ${path}`).toContain(anchor);
    }
  });

  it("names only files and folders that exist", () => {
    for (const [, named = ""] of prose(path).matchAll(/`((?:src|test|scripts|docs|bin|demo|bench|\.ci)\/[\w./-]*)`/g)) {
      expect(existsSync(named), `${named} in ${path}`).toBe(true);
    }
  });
});

it("ARCHITECTURE.md is short, lists the layers that the test enforces, and describes every folder of src/", () => {
  const text = readFileSync("ARCHITECTURE.md", "utf8");
  expect(text.split("\n").length).toBeLessThan(200);
  const [, list = ""] = /const LAYERS = \[(.*?)\n\];/s.exec(readFileSync("test/architecture.test.ts", "utf8")) ?? [];
  const enforced = [...list.matchAll(/\[(.+)\]/g)].map(([, layer = ""]) => layer.match(/[\w.-]+/g));
  const described = [...text.matchAll(/^\d+\. ((?:`[\w-]+`(?:, )?)+|`src\/\*\.ts`.*)$/gm)].map(([, layer = ""]) =>
    layer.startsWith("`src/*.ts`") ? ["."] : layer.match(/[\w-]+/g),
  );
  expect(described).toEqual(enforced);
  for (const folder of enforced.flat()) if (folder !== ".") expect(text).toContain(`\`src/${folder}/\``);
});

it("ARCHITECTURE.md lists every decision", () => {
  const text = readFileSync("ARCHITECTURE.md", "utf8");
  for (const path of documents()) if (path.startsWith("docs/decisions/")) expect(text).toContain(path);
});

it("docs/storage.md describes every table, and no other", () => {
  const [, tables = ""] =
    /export interface Database \{(.*?)^\}/ms.exec(readFileSync("src/storage/schema.ts", "utf8")) ?? [];
  const declared = [...tables.matchAll(/^ {2}(\w+): \{/gm)].map(([, name]) => name);
  const described = [...readFileSync("docs/storage.md", "utf8").matchAll(/^\| `(\w+)` /gm)].map(([, name]) => name);
  expect(new Set(described)).toEqual(new Set(declared));
});

it("decision 0001 gives a reason for each package that the program uses, and for no other", () => {
  const { dependencies }: { dependencies: Record<string, string> } = JSON.parse(readFileSync("package.json", "utf8"));
  const text = readFileSync("docs/decisions/0001-runtime-and-dependencies.md", "utf8");
  const rows = [...text.matchAll(/^\| (`[^|]+`[^|]*)\|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`([@\w/:-]+)`/g)].map(([, name = ""]) => name),
  );
  const named = rows.filter((name) => !name.startsWith("node:") && name !== "dispatch");
  expect(new Set(named)).toEqual(new Set(Object.keys(dependencies)));
});
