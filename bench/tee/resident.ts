/** @module (d) Memory does not grow with what passes through: the gateway's resident set after one cartridge's worth,
 *  and after the same cartridge was rewritten several times. */
import type { Ground } from "../ground.ts";
import { residentBytes } from "../process.ts";
import { stream } from "./client.ts";
import { startGateway } from "./gateway.ts";
import type { Sizes } from "./sizes.ts";

const BESIDE_RING_BYTES_MAX = 250e6;
/** Two readings this near count as the same. */
const SAME_WITHIN_BYTES = 32 * 1024 * 1024;

export interface Resident {
  readonly ringBytes: number;
  readonly writtenBytes: number;
  readonly afterFirstBytes: number;
  readonly rewrites: number;
  readonly afterRewritesBytes: number;
  /** After each rewrite. */
  readonly courseBytes: readonly number[];
  readonly besideRingBytes: number;
  readonly reached: boolean;
}

export async function benchResident(
  ground: Ground,
  sizes: Sizes,
  say: (text: string) => void,
): Promise<Resident> {
  const { blockBytes, ringBytes, residentBytes: bytes, rewrites } = sizes;
  const capacityBytes = bytes * 1.05 + 4 * ringBytes;
  const gateway = await startGateway(ground, sizes, {
    withCache: true,
    paceBytesPerSecond: 0,
    capacityBytes,
  });
  try {
    const course: number[] = [];
    for (let pass = 0; pass <= rewrites; pass++) {
      await stream(
        { portal: gateway.portal, lun: 1, changerLun: 0, load: "1" },
        { bytes, blockBytes, depth: 8 },
      );
      const resident = residentBytes(gateway.pid);
      course.push(resident);
      say(`(d) pass ${pass}: ${(resident / 1e6).toFixed(0)} MB resident`);
    }
    const [afterFirstBytes, afterRewritesBytes] = [course[0] ?? 0, course.at(-1) ?? 0];
    const besideRingBytes = Math.max(afterFirstBytes, afterRewritesBytes) - ringBytes;
    return {
      ringBytes,
      writtenBytes: bytes,
      afterFirstBytes,
      rewrites,
      afterRewritesBytes,
      courseBytes: course.slice(1),
      besideRingBytes,
      reached:
        besideRingBytes <= BESIDE_RING_BYTES_MAX &&
        Math.abs(afterRewritesBytes - afterFirstBytes) <= SAME_WITHIN_BYTES,
    };
  } finally {
    await gateway.stop();
  }
}
