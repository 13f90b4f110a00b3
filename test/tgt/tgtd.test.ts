/** @module The tgtd wrapper: where it listens, and that nothing of it stays. */

import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, startTgtd, tgtdObstacle } from "./tgtd.ts";

const obstacle = tgtdObstacle();

describe.skipIf(obstacle !== undefined)(
  obstacle === undefined ? "tgtd" : `tgtd (skipped: ${obstacle})`,
  () => {
    test("shows its drives and cartridges, and is gone after stop", async () => {
      const tgtd = await startTgtd({ port: freePort(), drives: 2, cartridges: 3, cartridgeMegabytes: 10 });
      const shown = await tgtd.admin(["--op", "show", "--mode", "target"]);
      expect(shown).toContain(tgtd.target);
      expect(shown.match(/Type: tape/g)).toHaveLength(2);
      expect(tgtd.barcodes).toEqual(["VT0001L8", "VT0002L8", "VT0003L8"]);
      await tgtd.stop();
      await tgtd.stop();
      expect(existsSync(`/proc/${tgtd.pid}`)).toBe(false);
      expect(existsSync(tgtd.directory)).toBe(false);
    }, 30_000);

    test("a directory that was given is kept, its cartridges too", async () => {
      const directory = mkdtempSync(join(tmpdir(), "understudy-media-"));
      try {
        for (let turn = 0; turn < 2; turn++) {
          const tgtd = await startTgtd({
            port: freePort(),
            directory,
            cartridges: 1,
            cartridgeMegabytes: 10,
          });
          await tgtd.stop();
          expect(existsSync(join(directory, "VT0001L8"))).toBe(true);
        }
      } finally {
        rmSync(directory, { recursive: true });
      }
    }, 30_000);

    test("a taken port is refused: tgtd itself would listen on every address at 3260", async () => {
      const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      try {
        await expect(startTgtd({ port: taken.port })).rejects.toThrow("is taken");
      } finally {
        taken.stop(true);
      }
    });
  },
);
