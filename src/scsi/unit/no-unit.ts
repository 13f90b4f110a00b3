/** @module What answers at a LUN where there is nothing (SPC-5, SAM-5): INQUIRY with qualifier 3, REPORT LUNS,
 *  REQUEST SENSE; everything else is LOGICAL UNIT NOT SUPPORTED. */
import { u16, u32 } from "../bytes.ts";
import { encodeInquiryNoUnit } from "../inquiry.ts";
import * as op from "../opcodes.ts";
import { encodeFixedSense } from "../sense.ts";
import { invalidFieldInCdb, logicalUnitNotSupported } from "../senses.ts";
import type { LogicalUnit } from "./ports.ts";
import { encodeReportLuns } from "./report-luns.ts";
import { STATUS_TASK_ABORTED, type Task } from "./task.ts";

export class NoUnit implements LogicalUnit {
  constructor(private readonly luns: () => readonly number[]) {}

  execute(task: Task) {
    const { cdb, parameters } = task;
    switch (cdb[0]) {
      case op.INQUIRY:
        if ((cdb[1]! & 1) !== 0 || cdb[2] !== 0) return task.completeWithSense(logicalUnitNotSupported);
        return task.completeWithData(Math.min(encodeInquiryNoUnit(parameters), u16(cdb, 3)));
      case op.REPORT_LUNS: {
        const bytes = encodeReportLuns(cdb[2]!, this.luns(), parameters);
        if (bytes < 0) return task.completeWithSense(invalidFieldInCdb(2));
        return task.completeWithData(Math.min(bytes, u32(cdb, 6), parameters.length));
      }
      case op.REQUEST_SENSE:
        return task.completeWithData(
          Math.min(encodeFixedSense(logicalUnitNotSupported, parameters), cdb[4]!),
        );
      default:
        return task.completeWithSense(logicalUnitNotSupported);
    }
  }

  dataOutComplete(task: Task) {
    task.completeWithSense(logicalUnitNotSupported);
  }

  abort(task: Task): void {
    task.aborted = true;
    task.complete(STATUS_TASK_ABORTED);
  }

  reset(): void {}

  nexusLost(): void {}
}
