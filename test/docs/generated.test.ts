import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { DOCUMENTS, renderDocument } from "../../scripts/documents.ts";

it.each(Object.keys(DOCUMENTS))("docs/%s is what the code says (else run: npm run docs)", async (name) => {
  expect(readFileSync(`docs/${name}`, "utf8")).toBe(await renderDocument(name));
});
