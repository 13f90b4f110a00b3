/** @module Figures of the target since the last reset. */
export class TargetStats {
  /** Data bytes that hosts wrote (Data-Out, immediate) and read (Data-In). */
  bytesOut = 0;
  bytesIn = 0;
  commands = 0;
  /** Longest time from a command's arrival to its answer (ms). */
  longestMs = 0;
  /** Connections that ended in an error of the initiator's, and logins refused. */
  protocolErrors = 0;
  loginsRefused = 0;
  /** PDUs whose header or data digest was wrong. */
  digestErrors = 0;

  answered(startedMs: number): void {
    const tookMs = performance.now() - startedMs;
    if (tookMs > this.longestMs) this.longestMs = tookMs;
  }

  reset(): void {
    this.bytesOut = this.bytesIn = this.commands = this.longestMs = 0;
    this.protocolErrors = this.loginsRefused = this.digestErrors = 0;
  }
}
