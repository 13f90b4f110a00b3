/** @module What must be so when a run has ended: everything acknowledged is on the medium or can still be written; a
 *  job that ran through is on its cartridge, item by item; nobody gave up without a reason. */
import type { Device } from "./device.ts";
import { check } from "./promises.ts";

export function checkEnd(device: Device): void {
  const { state, front, journal, cartridge, world } = device;
  const { content } = cartridge;
  journal.checkMarks();

  const confirmed = cartridge.spoiled ? Math.min(cartridge.confirmed, content.length) : cartridge.confirmed;
  for (let position = 0; position < confirmed; position++)
    check(content[position] === position, `position ${position} holds item ${content[position]}`);

  // No acknowledged item is lost: it is on the medium, or in the cache or the ring.
  const items = new Map(journal.entries.map((entry) => [entry.item, entry]));
  for (let item = 0; item < front.acknowledged; item++) {
    if (content[item] === item || cartridge.spoiled) continue;
    const entry = items.get(item);
    check(
      entry !== undefined && (journal.inRing(entry.j) || journal.inCache(entry)),
      `item ${item} was acknowledged and is neither on the medium nor in the journal`,
    );
  }

  if (state.name !== "Halted") {
    check(state.name === "Streaming", `ended in ${state.name}`);
    check(journal.onTape === journal.received, "streaming, drained, and not all is on tape");
    check(state.flow === (state.stopping ? "busy" : "normal"), `streaming, and the flow is ${state.flow}`);
    const stopped = device.readyToStop || front.failed;
    if (!stopped)
      check(
        content.length === front.itemKinds.length,
        `${content.length} items on the medium, the host sent ${front.itemKinds.length}`,
      );
    check(cartridge.goodBlocks() === content.length, "a torn block stayed on the medium");
    return;
  }
  check(isJustified(device), `halted without cause: ${state.text}`);
  if (state.flow === "report") check(device.settings.noSpare === "report", "reported against the policy");
  check(
    world.pool.every((drive) => drive.usedBy !== device.name || drive.holds === device.barcode),
    "a halted device keeps a spare from others",
  );
}

/** Did what the model did to it warrant giving up? */
function isJustified({ state, world, cartridge, name, imageRefused }: Device): boolean {
  if (state.name !== "Halted") return false;
  switch (state.reason) {
    case "noSpare":
      return world.pool.every(
        (drive) =>
          drive.condition !== "good" ||
          drive.usedBy !== null ||
          drive.holds !== null ||
          drive.role !== "spare" ||
          state.recovery.excluded.includes(drive.id) ||
          world.freedLater(name),
      );
    case "robot":
      return world.robot.lostTrack > 0 || world.robot.failures > 1;
    case "cartridgeStuck":
      return world.faultsSeen.has("stuck") && imageRefused !== null;
    case "cartridgeFault":
      return (
        cartridge.spoiled ||
        (imageRefused !== null &&
          (cartridge.bad ||
            !world.schedule.reserve.every(({ empty }) => empty) ||
            world.drives.filter((drive) => drive.faultsHit > 0 || drive.plan.deadOnArrival).length > 1))
      );
    default:
      return false;
  }
}
