import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { DOCUMENTS, renderDocument } from "../../scripts/documents.ts";
import { ERRORS } from "../../src/core/errors.ts";

it.each(Object.keys(DOCUMENTS))("docs/%s is what the code says (else run: npm run docs)", async (name) => {
  expect(readFileSync(`docs/${name}`, "utf8")).toBe(await renderDocument(name));
});

it("docs/errors.md has a heading for each error code, and no other", () => {
  const headings = [...readFileSync("docs/errors.md", "utf8").matchAll(/^## `(.+)`$/gm)].map(([, code]) => code);
  expect(headings).toEqual(Object.keys(ERRORS));
});
