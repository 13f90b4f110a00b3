/** @module The guest harness itself, against a library that is not ours (tgtd): what it reports can be believed. */

import { afterEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { freePort, startTgtd, type Tgtd, tgtdObstacle } from "../tgt/tgtd.ts";
import { describeResult, guestObstacle, runGuest } from "./guest.ts";

const TEST_TIMEOUT_MS = 900_000;

/** What tgtd lacks: LOG SENSE, attributes, LOCATE, counts of spaced filemarks, reservations by key, ... */
const BEYOND_TGTD = [
  ...["medium-change", "log-pages", "medium-attributes", "compression", "eod", "append", "tell", "seek"],
  ...["overwrite-truncates", "read-at-eod", "long-reads", "persistent-reservation", "erase"],
].join(" ");

const guest = guestObstacle();
const library = guest ?? tgtdObstacle();

function titled(name: string, obstacle: string | undefined): string {
  return obstacle === undefined ? name : `${name} (skipped: ${obstacle})`;
}

describe.skipIf(guest !== undefined)(titled("runGuest", guest), () => {
  test(
    "gives the job's status, output and environment, and lets host and job wait for each other",
    async () => {
      const marks: string[] = [];
      const result = await runGuest({
        script: `${import.meta.dir}/jobs/self-test.sh`,
        env: { GREETING: "it's a $tape" },
        onLine: (line, running) => {
          if (!line.startsWith("GUEST-MARK")) return;
          marks.push(line);
          running.signal("go-on");
        },
      });
      expect(result, describeResult(result)).toMatchObject({ exitCode: 7, end: "finished" });
      expect(marks).toEqual(["GUEST-MARK waiting"]);
      expect(result.output).toContain("greeting: it's a $tape\n");
      expect(result.dmesg).toContain("EXT4-fs (vda): mounted");
    },
    TEST_TIMEOUT_MS,
  );

  test(
    "ends a guest that takes too long",
    async () => {
      const result = await runGuest({ script: "self-test.sh", timeoutSeconds: 6 });
      expect(result).toMatchObject({ exitCode: undefined, end: "timeout" });
      expect(result.wallSeconds).toBeLessThan(15);
    },
    TEST_TIMEOUT_MS,
  );
});

describe.skipIf(library !== undefined)(titled("guest jobs against tgtd", library), () => {
  let tgtd: Tgtd | undefined;
  afterEach(async () => {
    const { pid, directory } = tgtd ?? {};
    await tgtd?.stop();
    tgtd = undefined;
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(existsSync(String(directory))).toBe(false);
  });

  test(
    "basic.sh passes what tgtd is able to do",
    async () => {
      tgtd = await startTgtd({ port: freePort(), drives: 2 });
      // Its limit is 1 MiB.
      const sizes = "512 1001 10240 32768 64512 262144 1048576";
      const env = { PORT: tgtd.port, SKIP_STEPS: BEYOND_TGTD, BLOCK_SIZES: sizes };
      const result = await runGuest({ script: "basic.sh", env });
      expect(result.exitCode, describeResult(result)).toBe(0);
      expect(result.output).toContain("GUEST-PASSED");
    },
    TEST_TIMEOUT_MS,
  );

  test(
    "tar-big.sh fails in tar-write when its drive goes away in the middle",
    async () => {
      const library = await startTgtd({ port: freePort() });
      tgtd = library;
      let broken: Promise<string> | undefined;
      const result = await runGuest({
        script: "tar-big.sh",
        env: { PORT: library.port, MEGABYTES: 64 },
        onLine: (line) => {
          if (!line.startsWith("GUEST-MARK tar-bytes") || broken !== undefined) return;
          const offline = ["--mode", "logicalunit", "--op", "update", "--tid", "1", "--lun", "1"];
          broken = library.admin([...offline, "--params", "online=0"]);
        },
      });
      await broken;
      expect(result.exitCode, describeResult(result)).toBe(1);
      expect(result.output).toContain("GUEST-FAILED step tar-write");
    },
    TEST_TIMEOUT_MS,
  );
});
