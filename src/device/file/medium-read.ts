/** @module READ, VERIFY, SPACE and LOCATE over a cartridge file (SSC-5 §5.8, §6.11, §7.3): each leaves the cartridge where
 *  the standard says and returns the sense, or null for GOOD. Residuals are made by scsi/unit/tape-sense.ts. */
import type { Sense } from "../../scsi/sense.ts";
import { KEY_MEDIUM_ERROR } from "../../scsi/senses.ts";
import {
  beginningOfPartitionSense,
  endOfDataSense,
  filemarkSense,
  fixedReadSense,
  locateEndOfDataSense,
  transferFault,
  variableReadSense,
} from "../../scsi/unit/tape-sense.ts";
import type { TapeCommand, Task } from "../../scsi/unit/task.ts";
import type { Cartridge } from "./cartridge.ts";

/** Unrecovered read error. */
function unreadable(residual?: number): Sense {
  return transferFault(KEY_MEDIUM_ERROR, 0x11, 0x00, residual);
}

/** READ or (`transfer` false) VERIFY; sets `task.inBytes`. Data goes to `task.inAddress`, at most `capacityBytes`. */
export function readBlocks(
  cartridge: Cartridge,
  task: Task,
  capacityBytes: number,
  transfer: boolean,
): Sense | null {
  task.inBytes = 0;
  return task.tape.fixed
    ? readFixed(cartridge, task, capacityBytes, transfer)
    : readVariable(cartridge, task, capacityBytes, transfer);
}

function readVariable(
  cartridge: Cartridge,
  task: Task,
  capacityBytes: number,
  transfer: boolean,
): Sense | null {
  const requested = task.tape.count;
  if (requested === 0) return null;
  const met = transfer
    ? cartridge.readBlock(task.inAddress, Math.min(requested, capacityBytes))
    : cartridge.verifyBlock();
  if (met === "filemark") return filemarkSense(requested);
  if (met === "endOfData") return endOfDataSense(requested);
  if (met === "damaged") return unreadable(requested);
  const actual = cartridge.metBytes;
  if (transfer) task.inBytes = Math.min(requested, actual, capacityBytes);
  return variableReadSense(requested, actual, task.tape.sili, task.tape.modeBlockBytes);
}

function readFixed(cartridge: Cartridge, task: Task, capacityBytes: number, transfer: boolean): Sense | null {
  const { count, blockBytes } = task.tape;
  for (let done = 0; done < count; done++) {
    const room = Math.min(blockBytes, capacityBytes - task.inBytes);
    const met = transfer ? cartridge.readBlock(task.inAddress + task.inBytes, room) : cartridge.verifyBlock();
    if (met === "filemark") return filemarkSense(count - done);
    if (met === "endOfData") return endOfDataSense(count - done);
    if (met === "damaged") return unreadable(count - done);
    if (transfer) task.inBytes += Math.min(room, cartridge.metBytes);
    if (cartridge.metBytes !== blockBytes) return fixedReadSense(count, done);
  }
  return null;
}

export function space(cartridge: Cartridge, command: TapeCommand): Sense | null {
  const { spaceCode, count } = command;
  if (spaceCode === 3) {
    cartridge.toEndOfData();
    return null;
  }
  if (spaceCode === 1) {
    return count >= 0 ? filemarksForward(cartridge, count) : filemarksBack(cartridge, -count);
  }
  return count >= 0 ? blocksForward(cartridge, count) : blocksBack(cartridge, -count);
}

function blocksForward(cartridge: Cartridge, count: number): Sense | null {
  for (let done = 0; done < count; done++) {
    const met = cartridge.forward();
    if (met === "filemark") return filemarkSense(count - done);
    if (met === "endOfData") return endOfDataSense(count - done);
    if (met === "damaged") return unreadable(count - done);
  }
  return null;
}

function blocksBack(cartridge: Cartridge, count: number): Sense | null {
  const { lba, fileNumber } = cartridge.place;
  const startLba = cartridge.fileStartLba;
  if (lba - count >= startLba) return cartridge.seek(lba - count) === "damaged" ? unreadable() : null;
  const residual = count - (lba - startLba);
  if (fileNumber === 0) {
    cartridge.rewind();
    return beginningOfPartitionSense(residual);
  }
  return cartridge.backToFilemark() === "damaged" ? unreadable(residual) : filemarkSense(residual);
}

function filemarksForward(cartridge: Cartridge, count: number): Sense | null {
  if (count === 0) return null;
  const target = cartridge.place.fileNumber + count;
  const last = cartridge.endOfData.fileNumber;
  if (target > last) {
    cartridge.toEndOfData();
    return endOfDataSense(target - last);
  }
  return cartridge.forwardToFile(target) === "damaged" ? unreadable() : null;
}

function filemarksBack(cartridge: Cartridge, count: number): Sense | null {
  for (let done = 0; done < count; done++) {
    const met = cartridge.backToFilemark();
    if (met === "damaged") return unreadable(count - done);
    if (met === "beginning") return beginningOfPartitionSense(count - done);
  }
  return null;
}

/** `destinationType` 0: object number, 1: behind that many filemarks, 3: end of data. */
export function locate(cartridge: Cartridge, command: TapeCommand): Sense | null {
  const { destination, destinationType } = command;
  if (destinationType === 3) {
    cartridge.toEndOfData();
    return null;
  }
  const last = destinationType === 1 ? cartridge.endOfData.fileNumber : cartridge.endOfData.lba;
  if (destination > last) {
    cartridge.toEndOfData();
    return locateEndOfDataSense;
  }
  if (destinationType === 0) return cartridge.seek(destination) === "damaged" ? unreadable() : null;
  if (destination <= cartridge.place.fileNumber) cartridge.rewind();
  if (destination === 0) return null;
  return cartridge.forwardToFile(destination) === "damaged" ? unreadable() : null;
}
