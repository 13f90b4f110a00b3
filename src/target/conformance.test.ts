import { expect, test } from "bun:test";
import { Target } from "./front-loop.ts";
import { TARGET } from "./testing/client.ts";
import { DiskUnit } from "./testing/disk-unit.ts";

const tool = Bun.which("iscsi-test-cu");

/** iscsi-test-cu counts what failed in its summary; its exit status is 0 either way. */
test.skipIf(tool === null)(
  "RED-01: libiscsi's 15 transport tests (iscsi-test-cu, Debian package libiscsi-bin): window, DataSN, residuals, TMF",
  async () => {
    const target = new Target({
      iqn: TARGET,
      address: "127.0.0.1",
      port: 0,
      units: new Map([[0, new DiskUnit()]]),
    });
    const url = `iscsi://127.0.0.1:${target.port}/${TARGET}/0`;
    const tester = Bun.spawn([tool ?? "", "--dataloss", "-n", "-v", "-t", "iSCSI", url], { stderr: "pipe" });
    let ended = false;
    const output = Promise.all([new Response(tester.stdout).text(), new Response(tester.stderr).text()]);
    output.then(() => {
      ended = true;
    });
    while (!ended) {
      for (let turn = 0; turn < 50; turn++) target.pollOnce(1);
      await Bun.sleep(0);
    }
    target.stop();
    const [text] = await output;
    const summary = /tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)/.exec(text);
    expect(summary?.slice(1)).toEqual(["15", "15", "15", "0"]);
  },
  60_000,
);
