/** @module What a backup server reads in LOG SENSE 2Eh: the flags of a failure that it hears of, those that a medium raised while it
 *  was read, and none of a drive that was replaced without its knowledge. */
import { ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { CommandReply } from "../../src/base/command-reply.ts";
import { HostChanger } from "../../src/cli/host/host-changer.ts";
import { mustBeGood } from "../../src/cli/host/host-tape.ts";
import type { Initiator } from "../../src/iscsi/initiator.ts";
import { putLogSense, putRead6 } from "../../src/scsi/cdb.ts";
import { parseLogPage, tapeAlerts } from "../../src/scsi/replies.ts";
import { withGateway } from "./gateway.ts";
import { TapeJob } from "./tape-job.ts";

const TIMEOUT_MS = 60_000;
const BARCODE = "UND001L8";
const BLOCK_BYTES = 64 * 1024;
const PAGE_BYTES = 512;
const TAPE_ALERT = 0x2e;
const HARDWARE = 30;
const READ_FAILURE = 5;

const settings = (spares: number, fault: string) => `[log]
level = "error"
[device]
ringMegabytes = 16
maxBlockKilobytes = 1024
cache = { megabytes = 64 }
[library]
drives = 1
spares = ${spares}
slots = 2
capacityMegabytes = 512
faults = ["drive 1: ${fault}"]
`;

function ask(session: Initiator, cdb: Uint8Array, bytes: number): { data: Uint8Array; status: number } {
  const data = new Uint8Array(new ArrayBuffer(bytes));
  const reply = new CommandReply();
  session.execute(1, cdb, "in", Number(ptr(data)), bytes, 10_000, reply);
  return { data: data.subarray(0, reply.transferredBytes), status: reply.status };
}

function flagsOf(session: Initiator): number[] {
  const cdb = new Uint8Array(16);
  const cdbBytes = putLogSense(cdb, TAPE_ALERT, PAGE_BYTES);
  const page = parseLogPage(ask(session, cdb.subarray(0, cdbBytes), PAGE_BYTES).data);
  if (page === null) throw new Error("no page 2Eh");
  return tapeAlerts(page);
}

test(
  "RED-19a: no spare: the host reads the drive's own TapeAlert flags with its sense, once",
  () =>
    withGateway("alerts-report", settings(0, "on write 50: hardware error"), async (gateway) => {
      const session = gateway.connect();
      const job = new TapeJob(session);
      job.load(BARCODE);
      expect(flagsOf(session)).toEqual([]);
      for (let n = 0; n < 2000 && job.errors.length === 0; n++) job.block(BLOCK_BYTES);
      expect(job.errorWords[0]).toContain("4/44");
      expect(flagsOf(session)).toEqual([HARDWARE]);
      expect(flagsOf(session)).toEqual([]);
      session.close();
    }),
  TIMEOUT_MS,
);

test(
  "RED-09: a drive that is replaced raises no flag at the host",
  () =>
    withGateway("alerts-mended", settings(1, "on write 50: hardware error"), async (gateway) => {
      const session = gateway.connect();
      const job = new TapeJob(session);
      job.load(BARCODE);
      for (let n = 0; n < 200; n++) job.block(BLOCK_BYTES);
      job.filemarks(1);
      while ((await gateway.api.status()).devices[0]?.state !== "Streaming") await Bun.sleep(20);
      expect((await gateway.api.status()).devices[0]?.drive?.id).toBe(2);
      expect(job.errorWords).toEqual([]);
      expect(flagsOf(session)).toEqual([]);
      new HostChanger(session, 0).unloadDrive(0);
      expect(flagsOf(session)).toEqual([]);
      session.logout();
    }),
  TIMEOUT_MS,
);

test(
  "RED-18: what a cartridge raised while it was read is told after its unload, and stands in the events",
  () =>
    withGateway("alerts-read", settings(1, "on read 1: medium error"), async (gateway) => {
      const session = gateway.connect();
      const job = new TapeJob(session);
      job.load(BARCODE);
      for (let n = 0; n < 10; n++) job.block(BLOCK_BYTES);
      job.filemarks(1);
      mustBeGood("REWIND", job.tape.rewind());
      const cdb = new Uint8Array(16);
      expect(ask(session, cdb.subarray(0, putRead6(cdb, BLOCK_BYTES)), BLOCK_BYTES).status).toBe(2);
      new HostChanger(session, 0).unloadDrive(0);
      expect(flagsOf(session)).toEqual([READ_FAILURE]);
      const events = await gateway.api.events(0, 100);
      expect(events.find(({ transition }) => transition === "tapeAlert")?.text).toContain("TapeAlert 5");
      session.logout();
    }),
  TIMEOUT_MS,
);
