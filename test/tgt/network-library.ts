/** @module tgtd as the gateway meets it: its drives and its changer through our own transports. */
import { CommandReply } from "../../src/base/command-reply.ts";
import { IscsiTransport } from "../../src/device/iscsi-transport.ts";
import { SpacingTransport } from "../../src/device/spacing-transport.ts";
import { DEFAULT_TIMEOUTS, TapeDrive } from "../../src/device/tape-drive.ts";
import { putMoveMedium } from "../../src/scsi/cdb.ts";
import { STATUS_CHECK_CONDITION, STATUS_GOOD } from "../../src/scsi/unit/task.ts";
import type { Tgtd } from "./tgtd.ts";

const MOVE_MS = 5000;
const ROBOT = 1;

export function transportTo(tgtd: Tgtd, lun: number): IscsiTransport {
  return new IscsiTransport({
    ...{ host: "127.0.0.1", port: tgtd.port, targetName: tgtd.target, lun },
    ...{ initiatorName: "iqn.2026-01.test:gateway", connectMs: 2000 },
  });
}

/** The drive with this LUN, as the gateway opens it. */
export function driveOf(tgtd: Tgtd, lun: number, writeMs = 10_000): TapeDrive {
  return new TapeDrive(new SpacingTransport(transportTo(tgtd, lun)), {
    ...DEFAULT_TIMEOUTS,
    commandMs: 5000,
    writeMs,
  });
}

/** MOVE MEDIUM, past unit attentions; throws what the changer says. */
export function moveMedium(changer: IscsiTransport, source: number, destination: number): void {
  const cdb = new Uint8Array(16);
  const cdbBytes = putMoveMedium(cdb, ROBOT, source, destination);
  const reply = new CommandReply();
  for (let tries = 0; tries < 3; tries++) {
    changer.execute(cdb.subarray(0, cdbBytes), "none", 0, 0, MOVE_MS, reply);
    if (reply.reached && reply.status === STATUS_GOOD) return;
    const isAttention = reply.status === STATUS_CHECK_CONDITION && ((reply.sense[2] ?? 0) & 15) === 6;
    if (!isAttention) break;
  }
  const sense = Buffer.from(reply.sense.subarray(0, reply.senseBytes)).toString("hex");
  throw new Error(`move from ${source} to ${destination}: ${reply.cause}${sense}`);
}
