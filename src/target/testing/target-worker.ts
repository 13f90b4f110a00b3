/** @module A target in a thread of its own, over a disk in memory: for the blocking initiator, which stands still until
 *  it is answered. Started by postMessage of `TargetOrder`; answers with the port. */
import { MIB } from "../../base/units.ts";
import type { ChapAccess } from "../../iscsi/chap.ts";
import { TestDisk } from "../../scsi/unit/test-disk.ts";
import { Target } from "../front-loop.ts";
import { TARGET } from "./client.ts";

export interface TargetOrder {
  readonly chap: ChapAccess | null;
}

declare const self: Worker;

self.onmessage = async ({ data }: MessageEvent<TargetOrder>) => {
  const units = new Map([[0, new TestDisk(32 * MIB, () => [0])]]);
  const target = new Target({ iqn: TARGET, address: "127.0.0.1", port: 0, units, chap: data.chap });
  self.postMessage(target.port);
  for (;;) {
    for (let turn = 0; turn < 50; turn++) target.pollOnce(1);
    await Bun.sleep(0);
  }
};
