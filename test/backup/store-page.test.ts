import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PAGE_PATH, storePage } from "../../scripts/store-page.ts";

test("TREE-03: the page that goes on every store says what docs/FORMATS.md says (bun scripts/store-page.ts)", () => {
  const formats = readFileSync(join(import.meta.dir, "../../docs/FORMATS.md"), "utf8");
  expect(readFileSync(PAGE_PATH, "utf8")).toBe(storePage(formats));
});
