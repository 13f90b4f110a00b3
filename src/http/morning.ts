/** @module What is to be done in the morning, in the operator's words: it follows from the status alone, so it is true
 *  after a restart as well. Alarms first. Empty means: nothing. */
import type { DeviceStatus, DriveStatus, MorningItem, StandInStatus, StatusFacts } from "../base/status.ts";
import { formatBytes, formatCount } from "../base/units.ts";

const ORDER = { alarm: 0, warning: 1, info: 2 } as const;

export function morning(status: StatusFacts): MorningItem[] {
  const spares = status.drives.filter((drive) => drive.state === "spare").length;
  return [
    ...status.devices.flatMap((device) => ofDevice(device)),
    ...status.drives.flatMap((drive) => ofDrive(drive, spares)),
    ...status.standIns.map(ofStandIn),
  ].sort((a, b) => ORDER[a.severity] - ORDER[b.severity]);
}

function ofDevice(device: DeviceStatus): MorningItem[] {
  const items: MorningItem[] = [];
  const { received, onTape } = device.marks;
  if (device.state === "Halted") {
    items.push({
      severity: "alarm",
      text: `${device.name} has stopped: ${device.reason ?? "the cause is not clear"}.`,
      todo: `Look at its drive and its cartridge, then let it go on: understudy retry ${device.name} (--drive ID or --cartridge BARCODE names another).`,
    });
  }
  if (device.owedFilemarks > 0 && device.state !== "Streaming") {
    const behind = received.bytes - onTape.bytes;
    items.push({
      severity: device.state === "Halted" ? "alarm" : "warning",
      text: `${device.name} owes the tape ${formatCount(device.owedFilemarks)} filemarks and ${formatBytes(behind)}, which the cache keeps.`,
      todo: "Do not switch the gateway's cache disks off or replace them before it has caught up.",
    });
  }
  if (device.cache.state === "degraded" || device.cache.state === "lost") {
    const lost = device.cache.members
      .filter((member) => member.state === "lost")
      .map((member) => member.path);
    const number = device.cache.members.findIndex((member) => member.state === "lost") + 1;
    const isLost = device.cache.state === "lost";
    const rebuilds = !isLost && lost.length === 0;
    items.push({
      severity: isLost ? "alarm" : "warning",
      text: isLost
        ? `${device.name} has lost its cache and goes on tape only, without protection.`
        : rebuilds
          ? `A disk of ${device.name}'s cache is being rebuilt; nothing is lost, the next disk would be.`
          : `${device.name}'s cache has lost a member (${lost.join(", ")}); nothing is lost, the next one would be.`,
      todo: isLost
        ? "Replace its disks and restart."
        : rebuilds
          ? "Wait until it is done."
          : `Put a new disk in its place, then: understudy cache replace ${device.name} ${number}.`,
    });
  }
  return items;
}

/** RED-08: what the front panel would say. */
function ofStandIn(standIn: StandInStatus): MorningItem {
  const { label, failedIn, replacement, replacementIn, fromSlot, reason } = standIn;
  return {
    severity: "warning",
    text: `Cartridge ${label} has failed (${reason}) and lies in ${failedIn}; ${replacement} from slot ${fromSlot}, now in ${replacementIn}, holds its data and answers to ${label}.`,
    todo: `Take both out and move the label ${label} from the failed cartridge to ${replacement}; put a new spare cartridge into slot ${fromSlot}.`,
  };
}

function ofDrive(drive: DriveStatus, spares: number): MorningItem[] {
  if (drive.state !== "failed") return [];
  const cartridge =
    drive.cartridge === null
      ? ""
      : ` Cartridge ${drive.cartridge} is still in it and must be taken out first.`;
  return [
    {
      severity: spares === 0 ? "alarm" : "warning",
      text: `Drive ${drive.id} (${drive.serial}) has failed: ${drive.failure?.text ?? "cause unknown"}.${cartridge}`,
      todo: `Repair or replace it, then: understudy drive return ${drive.id}.${spares === 0 ? " No spare drive is left until then." : ""}`,
    },
  ];
}
