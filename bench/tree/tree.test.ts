/** @module The tree bench works; at this size its figures mean nothing. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { TreeResult } from "./tree.ts";

const MAIN = join(import.meta.dir, "..", "main.ts");
const WITHIN_MS = 120_000;

test(
  "bench tree --tiny",
  async () => {
    const child = Bun.spawn([process.execPath, MAIN, "tree", "--tiny", "--json"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    expect(exitCode, errors).toBe(0);
    const result = JSON.parse(output) as TreeResult;
    expect(result.fidelity).toEqual({
      small: expect.stringMatching(/ equal$/),
      mixed: expect.stringMatching(/ equal$/),
      big: expect.stringMatching(/ equal$/),
    });
    const names = result.ratios.map(({ name }) => name);
    for (const step of ["full", "nothing changed", "1 % changed", "restore to tmpfs", "restore to disk"])
      expect(names).toContain(`small: ${step}`);
    expect(names).toContain("big: 1 % overwritten, growth");
    expect(names).toContain("peak memory");
    for (const { ratio } of result.ratios) expect(ratio).toBeGreaterThan(0);
  },
  WITHIN_MS,
);
