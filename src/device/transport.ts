/** @module How commands reach a drive or changer: one blocking call a command, data at native addresses.
 *  Implementations: the embedded file library, iSCSI, SG_IO. A transport is used by one thread only. */

export type DataDirection = "none" | "out" | "in";

/** The answer to one command; one object is used again and again. */
export class TransportReply {
  /** false: the command may or may not have been carried out (path loss, timeout): `cause` says what is known. */
  reached = true;
  cause = "";
  /** SAM status byte. */
  status = 0;
  readonly sense = new Uint8Array(252);
  senseBytes = 0;
  /** Data bytes really moved. */
  transferredBytes = 0;
}

export interface Transport {
  readonly describe: string;
  /** Carries out one CDB and fills `reply`. Blocks the thread. Never repeats a command by itself. */
  execute(
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: TransportReply,
  ): void;
  close(): void;
}
