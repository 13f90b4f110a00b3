/** @module How commands reach a drive or changer: one blocking call a command, data at native addresses.
 *  Implementations: the embedded file library, iSCSI, SG_IO. A transport is used by one thread only. */
import type { CommandReply, DataDirection } from "../base/command-reply.ts";

export interface Transport {
  readonly describe: string;
  /** Carries out one CDB and fills `reply`. Blocks the thread. Never repeats a command by itself. */
  execute(
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: CommandReply,
  ): void;
  close(): void;
}
