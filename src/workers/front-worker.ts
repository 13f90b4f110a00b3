/** @module The front Worker: what the backup server sees. One poll loop for all connections; behind it one SSC unit a
 *  virtual drive over its tee, and the changer. It never waits for a drive, a disk or main. */
import * as at from "../../wasm/ring/layout.ts";
import { MailboxReceiver } from "../base/mailbox.ts";
import { driveClock } from "../device/file/clock.ts";
import { DeviceMemory } from "../director/tee/device-memory.ts";
import { TeePort } from "../director/tee/tee-port.ts";
import { defaultChangerIdentity, defaultTapeIdentity } from "../scsi/inquiry.ts";
import type { LogicalUnit } from "../scsi/unit/ports.ts";
import { SmcUnit } from "../scsi/unit/smc.ts";
import { SscUnit } from "../scsi/unit/ssc.ts";
import { TestDisk } from "../scsi/unit/test-disk.ts";
import { PortalError, Target } from "../target/front-loop.ts";
import { ChangerDesk, type FrontDrive } from "./changer-desk.ts";
import type { FrontOrder, FrontStart, Order, SessionNotice, WorkerNotice } from "./protocol.ts";

const TELL_EVERY_MS = 1000;
const STOP_GRACE_MS = 2000;

export function runFrontWorker(start: FrontStart, tell: (notice: WorkerNotice) => void): void {
  const mailbox = new MailboxReceiver(start.mailbox);
  const units = new Map<number, LogicalUnit>();
  let target: Target;
  const luns = () => [...units.keys()];
  const drives: FrontDrive[] = start.devices.map((spec) => {
    const device = DeviceMemory.view(spec.memory);
    device.setWord(at.FRONT_EVENTFD, start.mailbox.eventfd);
    const tee = new TeePort(device, { ...spec, nowMs: driveClock.nowMs });
    const unit = new SscUnit({
      identity: defaultTapeIdentity(spec.serial),
      port: tee,
      luns,
      blockBytesMax: spec.maxBlockBytes,
      abortTasksOf: (initiatorPort) => target.abortTasksOf(initiatorPort, spec.lun),
    });
    units.set(spec.lun, unit);
    return { elementAddress: spec.elementAddress, device, tee };
  });
  const changer = new ChangerDesk(drives, tell);
  const library = new SmcUnit({
    identity: defaultChangerIdentity(start.changer.serial),
    port: changer,
    luns,
    abortTasksOf: (initiatorPort) => target.abortTasksOf(initiatorPort, 0),
  });
  units.set(0, library);
  if (start.testDisk !== null) units.set(start.testDisk.lun, new TestDisk(start.testDisk.bytes, luns));

  try {
    target = new Target({
      iqn: start.iscsi.targetName,
      address: start.iscsi.host,
      port: start.iscsi.port,
      units,
      chap: start.iscsi.chap,
    });
  } catch (error) {
    if (!(error instanceof PortalError)) throw error;
    tell({ kind: "started", facts: { refused: error.message } });
    return;
  }
  tell({ kind: "started", facts: { port: target.port } });

  let stopping = false;
  const obey = (order: FrontOrder): unknown => {
    switch (order.kind) {
      case "elements":
        changer.setElements(order.elements);
        if (order.accessed === true) library.importExportAccessed();
        return null;
      case "moved":
        changer.moved(order.moveId, order.sense);
        return null;
      case "stop":
        for (const { tee } of drives) tee.fillStripe();
        target.stop(STOP_GRACE_MS);
        stopping = true;
        return null;
      default: {
        const tee = drives[order.device]?.tee;
        if (order.kind === "load") tee?.load(order.cartridge);
        else if (order.kind === "unload") tee?.unload();
        else if (order.kind === "report") tee?.reportFailure(order.sense, order.tapeAlerts);
        else if (order.kind === "alerts") tee?.raiseTapeAlerts(order.flags);
        else if (order.kind === "outOfService" && tee !== undefined) tee.tape.outOfService = true;
        return null;
      }
    }
  };
  target.onWake(start.mailbox.eventfd, () => {
    for (let order = mailbox.receive(); order !== null; order = mailbox.receive()) {
      const request = order as Order<FrontOrder>;
      tell({ kind: "reply", orderId: request.orderId, result: obey(request) });
    }
  });

  let toldMs = 0;
  let toldSessions = "[]";
  for (;;) {
    let waitMs = TELL_EVERY_MS;
    for (const { tee } of drives) {
      tee.advance();
      waitMs = Math.min(waitMs, tee.waitsMs());
    }
    if (changer.advance()) waitMs = Math.min(waitMs, 5);
    target.drainPlaced();
    target.pollOnce(Math.ceil(waitMs));
    const nowMs = performance.now();
    if (nowMs - toldMs >= TELL_EVERY_MS) {
      toldMs = nowMs;
      const sessions = sessionsOf(target);
      const stalledMs = target.stats.longestMs;
      for (const { device } of drives) device.setFigure(at.HOST_STALL_MS_MAX, stalledMs);
      const text = JSON.stringify(sessions);
      if (text !== toldSessions) tell({ kind: "sessions", sessions, stallMsMax: stalledMs });
      toldSessions = text;
    }
    if (stopping && target.stopped) {
      tell({ kind: "sessions", sessions: [], stallMsMax: target.stats.longestMs });
      stopping = false;
    }
  }
}

function sessionsOf(target: Target): SessionNotice[] {
  return target.sessions().map((session) => ({
    id: session.nexusId,
    kind: session.discovery ? "discovery" : "normal",
    initiatorName: session.initiatorName,
    address: session.initiatorAddress,
    sinceMs: 0,
  }));
}
