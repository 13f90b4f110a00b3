/** @module The unit behind every LUN that is not there, and behind the REPORT LUNS well-known LUN. */

import type { LogicalUnit } from "../scsi/unit/ports.ts";
import { STATUS_GOOD, type Task } from "../scsi/unit/task.ts";

const INQUIRY = 0x12;
const REQUEST_SENSE = 0x03;
const REPORT_LUNS = 0xa0;
const NOT_SUPPORTED = { key: 5, asc: 0x25, ascq: 0 } as const;

export class AbsentUnit implements LogicalUnit {
  readonly #luns: () => Iterable<number>;

  constructor(luns: () => Iterable<number>) {
    this.#luns = luns;
  }

  execute(task: Task): void {
    const { cdb, parameters } = task;
    switch (cdb[0]) {
      case INQUIRY: {
        // Peripheral qualifier 011b, no device type: a unit cannot be here. No vital product data.
        if (((cdb[1] ?? 0) & 1) !== 0) {
          task.completeWithSense(NOT_SUPPORTED);
          return;
        }
        parameters.fill(0, 0, 36);
        parameters[0] = 0x7f;
        parameters[2] = 6;
        parameters[3] = 2;
        parameters[4] = 31;
        this.#answer(task, 36, ((cdb[3] ?? 0) << 8) | (cdb[4] ?? 0));
        return;
      }
      case REQUEST_SENSE: {
        parameters.fill(0, 0, 18);
        parameters[0] = 0x70;
        parameters[2] = 5;
        parameters[7] = 10;
        parameters[12] = 0x25;
        this.#answer(task, 18, cdb[4] ?? 0);
        return;
      }
      case REPORT_LUNS: {
        let at = 8;
        parameters.fill(0, 0, 8);
        for (const lun of this.#luns()) {
          parameters.fill(0, at, at + 8);
          parameters[at] = lun < 256 ? 0 : 0x40 | (lun >>> 8);
          parameters[at + 1] = lun;
          at += 8;
        }
        parameters[2] = (at - 8) >>> 8;
        parameters[3] = at - 8;
        const allocation =
          (cdb[6] ?? 0) * 0x1000000 + (((cdb[7] ?? 0) << 16) | ((cdb[8] ?? 0) << 8) | (cdb[9] ?? 0));
        this.#answer(task, at, allocation);
        return;
      }
      default:
        task.completeWithSense(NOT_SUPPORTED);
    }
  }

  dataOutComplete(task: Task): void {
    task.complete(STATUS_GOOD);
  }

  abort(task: Task): void {
    task.complete(STATUS_GOOD);
  }

  reset(): void {}

  nexusLost(): void {}

  #answer(task: Task, bytes: number, allocation: number): void {
    task.completeWithData(Math.min(bytes, allocation));
  }
}
