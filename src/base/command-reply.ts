/** @module The answer to one SCSI command, whatever carried it: a drive's transport, the initiator, a client of the benches.
 *  One object is used again and again, so that a block costs no allocation. */

/** Where a command's data goes: "out" to the device, "in" from it. */
export type DataDirection = "none" | "out" | "in";

export class CommandReply {
  /** false: `cause` says what is known: not sent, or may or may not have been carried out (path loss, timeout). */
  reached = true;
  cause = "";
  /** SAM status byte. */
  status = 0;
  readonly sense = new Uint8Array(252);
  senseBytes = 0;
  /** Data bytes really moved. */
  transferredBytes = 0;

  /** Ready for the next command. */
  clear(): void {
    this.reached = true;
    this.cause = "";
    this.status = this.senseBytes = this.transferredBytes = 0;
  }

  /** There is no answer, nor will there be. */
  lose(cause: string): void {
    this.clear();
    this.reached = false;
    this.cause = cause;
  }
}
