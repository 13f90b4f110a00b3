/** @module The buffer inside a drive and the tape that runs behind it.
 *
 *  With a pace, the medium takes `paceBytesPerSecond` while there is data in the buffer. A stream begins as on a real
 *  drive: the tape starts when `startBytes` are in the buffer, or soon, or when the drive must synchronise. A buffer
 *  that then runs empty stops the tape: that time is lost for good (no catch-up credit) and counted. Without a pace the
 *  medium keeps up, and blocks stay in the buffer only as far as `bufferBytes` says.
 *
 *      accepted  |<------- buffer ------->|
 *      ----------+------------------------+--> bytes
 *             on medium               accepted        emptyAtMs: when the medium has taken all of it
 */

export interface DriveClock {
  /** Monotonic milliseconds, on the scale of everybody who hands times to this drive. */
  nowMs(): number;
  /** Blocks the thread. */
  sleepMs(durationMs: number): void;
}

/** A tape that waits for `startBytes` starts after this time all the same. */
const START_WITHIN_MS = 100;

export class DriveBuffer {
  readonly paceBytesPerSecond: number;
  readonly bufferBytes: number;
  readonly startBytes: number;
  /** Time in which the tape stood still between the first write and now, for want of data. */
  idleMs = 0;
  /** The part of it in which data was there to be written. */
  idleWhileWaitingMs = 0;
  /** Since when the data of the next write has been available (scale of the clock); 0: not known. */
  dataAvailableSinceMs = 0;

  readonly #clock: DriveClock;
  #bytesPerMs: number;
  #streaming = false;
  #startsAtMs = 0;
  #emptyAtMs = 0;
  #acceptedBytes = 0;
  #mediumBytes = 0;
  // Records in the buffer, oldest first: bytes accepted up to the end of each.
  #ends = new Float64Array(1024);
  #head = 0;
  #count = 0;

  constructor(clock: DriveClock, paceBytesPerSecond: number, bufferBytes: number, startBytes = 0) {
    this.#clock = clock;
    this.paceBytesPerSecond = paceBytesPerSecond;
    this.bufferBytes = bufferBytes;
    this.startBytes = startBytes;
    this.#bytesPerMs = paceBytesPerSecond / 1000;
  }

  /** Records accepted and not on the medium. */
  get records(): number {
    this.#drain();
    return this.#count;
  }

  /** Data bytes accepted and not on the medium (a block partly on the medium counts whole). */
  get bytes(): number {
    this.#drain();
    if (this.#count === 0) return 0;
    return this.#acceptedBytes - this.#mediumBytes;
  }

  /** Waits until a record of `bytes` fits; true time passes here. */
  makeRoom(bytes: number): void {
    if (this.#bytesPerMs === 0) return;
    const nowMs = this.#clock.nowMs();
    if (this.#emptyAtMs <= nowMs) {
      this.#countIdle(nowMs);
      this.#startsAtMs = this.#streaming || this.startBytes === 0 ? nowMs : nowMs + START_WITHIN_MS;
      this.#emptyAtMs = this.#startsAtMs;
    }
    this.#streaming = true;
    if (this.#startsAtMs > nowMs) {
      if (this.#acceptedBytes - this.#mediumBytes + bytes <= this.bufferBytes) return;
      this.#start(nowMs);
    }
    const fitsAtMs = this.#emptyAtMs + (bytes - this.bufferBytes) / this.#bytesPerMs;
    if (fitsAtMs > nowMs) this.#clock.sleepMs(fitsAtMs - nowMs);
  }

  /** Moves the start of the tape to now, if it lies ahead. */
  #start(nowMs: number): void {
    if (this.#startsAtMs <= nowMs) return;
    this.#emptyAtMs -= this.#startsAtMs - nowMs;
    this.#startsAtMs = nowMs;
  }

  #countIdle(nowMs: number): void {
    if (!this.#streaming) return;
    this.idleMs += nowMs - this.#emptyAtMs;
    const waitedSinceMs =
      this.dataAvailableSinceMs === 0 ? nowMs : Math.max(this.#emptyAtMs, this.dataAvailableSinceMs);
    this.idleWhileWaitingMs += Math.max(0, nowMs - waitedSinceMs);
  }

  /** A record was accepted. */
  put(bytes: number): void {
    this.#acceptedBytes += bytes;
    if (this.#bytesPerMs !== 0) {
      this.#emptyAtMs += bytes / this.#bytesPerMs;
      const heldBytes = this.#acceptedBytes - this.#mediumBytes;
      if (heldBytes >= this.startBytes) this.#start(this.#clock.nowMs());
    }
    if (this.#bytesPerMs === 0 && this.bufferBytes === 0) {
      this.#mediumBytes = this.#acceptedBytes;
      return;
    }
    if (this.#count === this.#ends.length) this.#grow();
    this.#ends[(this.#head + this.#count) % this.#ends.length] = this.#acceptedBytes;
    this.#count++;
    this.#drain();
  }

  #grow(): void {
    const larger = new Float64Array(this.#ends.length * 2);
    for (let i = 0; i < this.#count; i++) larger[i] = this.#ends[(this.#head + i) % this.#ends.length]!;
    this.#ends = larger;
    this.#head = 0;
  }

  /** Moves to the medium what it has taken by now. */
  #drain(): void {
    if (this.#count === 0) return;
    let onMedium: number;
    if (this.#bytesPerMs === 0) {
      onMedium = this.#acceptedBytes - this.bufferBytes;
    } else {
      const nowMs = this.#clock.nowMs();
      // All of it once the time has come: no rounding is left over.
      onMedium =
        nowMs >= this.#emptyAtMs
          ? this.#acceptedBytes
          : this.#acceptedBytes - (this.#emptyAtMs - nowMs) * this.#bytesPerMs;
    }
    while (this.#count > 0 && this.#ends[this.#head]! <= onMedium) {
      this.#mediumBytes = this.#ends[this.#head]!;
      this.#head = (this.#head + 1) % this.#ends.length;
      this.#count--;
    }
  }

  /** Waits until everything is on the medium. */
  flush(): void {
    if (this.#bytesPerMs !== 0) {
      const nowMs = this.#clock.nowMs();
      this.#start(nowMs);
      if (this.#emptyAtMs > nowMs) this.#clock.sleepMs(this.#emptyAtMs - nowMs);
    }
    this.#settle();
  }

  /** The stream ends here (movement, unload): standing still is no loss from now on. */
  stop(): void {
    this.#streaming = false;
  }

  /** What is in the buffer is lost. */
  discard(): void {
    this.#emptyAtMs = Math.min(this.#emptyAtMs, this.#clock.nowMs());
    this.#settle();
    this.#streaming = false;
  }

  #settle(): void {
    this.#mediumBytes = this.#acceptedBytes;
    this.#count = 0;
  }
}
