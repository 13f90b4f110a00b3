/** @module The failover bench works; at this size its figures mean nothing. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { libiscsiObstacle } from "../client/libiscsi.ts";
import type { FailoverResult } from "./failover.ts";

const obstacle = libiscsiObstacle();
const MAIN = join(import.meta.dir, "..", "main.ts");
const WITHIN_MS = 120_000;

test.skipIf(obstacle !== undefined)(
  `bench failover --tiny${obstacle === undefined ? "" : ` (${obstacle})`}`,
  async () => {
    const child = Bun.spawn([process.execPath, MAIN, "failover", "--tiny", "--json"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, exitCode] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    expect([0, 1], errors).toContain(exitCode); // 1: a limit was missed, which at this size says nothing
    const result = JSON.parse(output) as FailoverResult;
    expect(result.comparedBlocks).toBe(Math.ceil(result.sizes.streamBytes / result.sizes.blockBytes));
    expect(result.faultToStreamingMs.median).toBeGreaterThan(0);
    expect(result.longestHostStallMs.median).toBeGreaterThan(0);
  },
  WITHIN_MS,
);
