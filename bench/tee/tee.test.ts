/** @module The tee bench works and its figures are sane; at this size its ratios mean nothing. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { tgtdObstacle } from "../../test/tgt/tgtd.ts";
import { libiscsiObstacle } from "../client/libiscsi.ts";
import { figureOf } from "../statistics.ts";
import type { TeeResult } from "./tee.ts";

const obstacle = tgtdObstacle() ?? libiscsiObstacle();
const MAIN = join(import.meta.dir, "..", "main.ts");
const WITHIN_MS = 120_000;

test("the median of rounds stands between least and most", () => {
  expect(figureOf([3, 1, 2])).toMatchObject({ median: 2, least: 1, most: 3 });
  expect(figureOf([4, 1, 2, 3]).median).toBe(2.5);
});

test.skipIf(obstacle !== undefined)(
  `bench tee --tiny${obstacle === undefined ? "" : ` (${obstacle})`}`,
  async () => {
    const child = Bun.spawn([process.execPath, MAIN, "tee", "--tiny", "--json"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    expect({ exitCode, errors }).toMatchObject({ exitCode: expect.any(Number) });
    expect([0, 1], errors).toContain(exitCode); // 1: a limit was missed, which at this size says nothing
    const result = JSON.parse(output) as TeeResult;
    expect(Object.keys(result.reached)).toEqual(["a", "b", "d"]);
    const { paced, unpaced, resident } = result;
    // A paced drive never takes more than its pace: what its buffer holds comes on top for an instant only.
    expect(paced?.withCache.MBps.median).toBeGreaterThan(10);
    expect(paced?.withCache.MBps.median).toBeLessThan(405);
    expect(paced?.comparedBlocks).toBe(2 * Math.ceil(result.sizes.pacedBytes / result.sizes.blockBytes));
    expect(unpaced?.depths.map(({ depth }) => depth)).toEqual([1, 8]);
    for (const one of unpaced?.depths ?? []) {
      expect(one.understudyMBps.median).toBeGreaterThan(10);
      expect(one.tgtdMBps.median).toBeGreaterThan(10);
      expect(one.ceilingMBps.median).toBeGreaterThan(10);
      expect(one.cpuSecondsPerGBTotal).toBeLessThan(20);
      expect(Object.keys(one.cpuSecondsPerGB)).toContain("front");
    }
    expect(resident?.afterFirstBytes).toBeGreaterThan(result.sizes.ringBytes);
    expect(resident?.courseBytes).toHaveLength(result.sizes.rewrites);
  },
  WITHIN_MS,
);
