/** @module How much the tee bench writes: in earnest, and at a size that a test can afford. */

const MIB = 1024 * 1024;

export interface Sizes {
  readonly name: "full" | "tiny";
  readonly rounds: number;
  readonly blockBytes: number;
  readonly ringBytes: number;
  readonly cacheBytes: number;
  readonly maxBlockBytes: number;
  readonly paceBytesPerSecond: number;
  /** (a) */
  readonly pacedBytes: number;
  /** (b), at least 8 times the ring. */
  readonly unpacedBytes: number;
  /** (d) */
  readonly residentBytes: number;
  readonly rewrites: number;
  /** Written before anything is counted, by each side. */
  readonly warmUpBytes: number;
  /** Room for the largest part: cartridges, cache with parity, and what the file system itself needs. */
  readonly groundBytes: number;
}

export const FULL: Sizes = {
  name: "full",
  rounds: 3,
  blockBytes: 256 * 1024,
  ringBytes: 256 * MIB,
  cacheBytes: 512 * MIB,
  maxBlockBytes: 8 * MIB,
  paceBytesPerSecond: 400e6,
  pacedBytes: 10e9,
  unpacedBytes: 16 * 256 * MIB,
  residentBytes: 2e9,
  rewrites: 10,
  warmUpBytes: 1e9,
  groundBytes: 12.5e9,
};

export const TINY: Sizes = {
  name: "tiny",
  rounds: 1,
  blockBytes: 256 * 1024,
  ringBytes: 16 * MIB,
  cacheBytes: 32 * MIB,
  maxBlockBytes: 1 * MIB,
  paceBytesPerSecond: 400e6,
  pacedBytes: 100e6,
  unpacedBytes: 8 * 16 * MIB,
  residentBytes: 64e6,
  rewrites: 2,
  warmUpBytes: 16e6,
  groundBytes: 1e9,
};
