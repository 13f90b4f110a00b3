/** @module Residual counts (RFC 7143 §11.4.5): expected against real transfer length. The result of the last call is in
 *  two variables of the object, so that nothing is allocated for a command. */
import { FLAG_OVERFLOW, FLAG_UNDERFLOW } from "../iscsi/pdu.ts";

export class Residual {
  /** FLAG_OVERFLOW, FLAG_UNDERFLOW or 0. */
  flags = 0;
  bytes = 0;

  /** `expected`: what the initiator said; `wanted`: what the command would move. */
  set(expected: number, wanted: number): void {
    if (wanted > expected) {
      this.flags = FLAG_OVERFLOW;
      this.bytes = wanted - expected;
    } else if (wanted < expected) {
      this.flags = FLAG_UNDERFLOW;
      this.bytes = expected - wanted;
    } else {
      this.flags = this.bytes = 0;
    }
    // The field has 32 bits.
    if (this.bytes > 0xffffffff) this.bytes = 0xffffffff;
  }
}
