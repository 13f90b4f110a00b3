/** @module Debian's kernel, unmodified, as the backup server of `understudy serve`. */

import { afterEach, describe, expect, test } from "bun:test";
import { type Gateway, serveExists, startGateway } from "./gateway.ts";
import { describeResult, guestObstacle, runGuest } from "./guest.ts";

/** Building the image once may be part of the first test. */
const TEST_TIMEOUT_MS = 900_000;

const obstacle = serveExists() ? guestObstacle() : "there is no `serve` command yet";
const title = `a Linux backup server${obstacle === undefined ? "" : ` (skipped: ${obstacle})`}`;

describe.skipIf(obstacle !== undefined)(title, () => {
  let gateway: Gateway | undefined;
  afterEach(async () => {
    await gateway?.stop();
    gateway = undefined;
  });

  test(
    "mtx, mt, tar and dd see an ordinary library, and the kernel logs no tape error",
    async () => {
      gateway = await startGateway();
      const result = await runGuest({ script: "basic.sh", env: { PORT: gateway.iscsiPort } });
      if (result.exitCode !== 0)
        throw new Error(`${describeResult(result)}\n--- gateway\n${await gateway.log()}`);
      expect(result.output).toContain("GUEST-PASSED");
    },
    TEST_TIMEOUT_MS,
  );

  // runGuest({ script: "tar-big.sh", memoryMegabytes: 900, onLine }), and in onLine, at `GUEST-MARK tar-bytes N` past
  // the middle: break the drive over the HTTP API; afterwards the catalog must list the switchover.
  test.todo(
    "a drive that fails in mid-tar goes unnoticed: the archive compares equal, the kernel logs nothing",
  );

  // runGuest({ script: "btape.sh", timeoutSeconds: 900 })
  test.todo("Bacula's btape accepts the drive");
});
