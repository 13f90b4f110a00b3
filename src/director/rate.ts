/** @module How fast the host may send while a failure is being mended (RED-09, RED-10; steps 606, 611, 619).
 *
 *  (1) At the reduced rate the recovery ends before a cartridge's worth of data has arrived since the failure.
 *  (2) The rate never falls so low that a command of the host comes near its timer (st: 900 s).
 *  (3) If a cartridge's worth, or what the cache can hold, has arrived all the same, the host gets BUSY: after a
 *      cartridge's worth until the recovery has ended, for a full cache until replay has made room.
 *
 *  Pure: the measures come in, a rate goes out. Bytes are bytes of journal, so headers and padding count. */

export interface RecoverySettings {
  /** A cartridge's worth. */
  readonly cartridgeBytes: number;
  /** What the cache may hold of journal that is not on tape. */
  readonly cacheBytes: number;
  /** RED-32: with room in the cache go on past a cartridge's worth. */
  readonly beyondCartridge: boolean;
  /** What a drive takes, until it has been measured. */
  readonly driveBytesPerSecond: number;
  /** From the choice of a spare to the first replayed block: unload, move, load, locate, verify. */
  readonly switchMs: number;
  /** The host gives a command up after this time. */
  readonly hostTimerMs: number;
  readonly blockBytesMax: number;
  /** Commands that the host may have under way at a time. */
  readonly commandsMax: number;
}

export interface RecoveryLoad {
  /** Arrived since the failure. */
  readonly arrivedBytes: number;
  /** Received and not on tape. */
  readonly backlogBytes: number;
  /** Until the replay begins (0: it has). */
  readonly switchLeftMs: number;
  /** Measured at the drive; null: not yet. */
  readonly driveBytesPerSecond: number | null;
}

/** Estimates are wrong: plan to need half of the room there is. */
const SAFETY = 0.5;
/** The slowest command shall end in this part of the host's timer. */
const TIMER_PART = 0.1;
/** A cache that was full takes again once so much of it is free. */
const CACHE_FREE_AGAIN = 0.1;

/** Room that commands already under way may still need: never more than a quarter of the cache. */
function underWayBytes(settings: RecoverySettings): number {
  return Math.min(settings.commandsMax * settings.blockBytesMax, settings.cacheBytes / 4);
}

/** How many bytes may still arrive before the host must be stopped. */
export function roomBytes(settings: RecoverySettings, load: RecoveryLoad): number {
  const cache = settings.cacheBytes - underWayBytes(settings) - load.backlogBytes;
  const cartridge = settings.cartridgeBytes - load.arrivedBytes;
  return Math.max(0, settings.beyondCartridge ? cache : Math.min(cache, cartridge));
}

/** The rate that keeps the host's timer safe, whatever else is so. */
export function floorBytesPerSecond(settings: RecoverySettings): number {
  return (settings.commandsMax * settings.blockBytesMax * 1000) / (settings.hostTimerMs * TIMER_PART);
}

/**
 * Bytes a second that the host may send until the recovery has ended.
 *
 * With the backlog B, the drive's rate D, the time S until replay begins and the host's rate r, replay catches up
 * T = (B + rS) / (D - r) after it began; by then r (S + T) has arrived. That stays within the room R for
 * r <= R D / (S D + B + R), which is always below D: it catches up.
 */
export function reducedBytesPerSecond(settings: RecoverySettings, load: RecoveryLoad): number {
  const drive = Math.max(1, load.driveBytesPerSecond ?? settings.driveBytesPerSecond);
  const room = roomBytes(settings, load);
  const switchBytes = (load.switchLeftMs / 1000) * drive;
  const rate = (SAFETY * room * drive) / (switchBytes + load.backlogBytes + room || 1);
  return Math.max(rate, floorBytesPerSecond(settings));
}

/** Must the host be told BUSY? `busy`: it is being told so now. */
export function mustBeBusy(settings: RecoverySettings, load: RecoveryLoad, busy: boolean): boolean {
  if (!settings.beyondCartridge && load.arrivedBytes >= settings.cartridgeBytes) return true;
  const keepFree = underWayBytes(settings) + (busy ? settings.cacheBytes * CACHE_FREE_AGAIN : 0);
  return load.backlogBytes >= settings.cacheBytes - keepFree;
}
