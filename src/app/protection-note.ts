/** @module Says once when an image has outgrown the cache: a failed drive is mended still, a failed cartridge is reported. */
import * as at from "../../wasm/ring/layout.ts";
import type { DeviceName } from "../base/brands.ts";
import type { DeviceMemory } from "../director/tee/device-memory.ts";
import type { Stock } from "./stock.ts";

export class ProtectionNote {
  /** The image that was whole when it was looked at last. */
  private imageJ = -1;

  constructor(
    private readonly device: DeviceName,
    private readonly memory: DeviceMemory,
    private readonly stock: Stock,
  ) {}

  look(): void {
    const { memory, device } = this;
    const J = memory.get(at.IMAGE_START);
    if (memory.wholeImage() !== null) {
      this.imageJ = J;
      return;
    }
    if (J < 0 || J !== this.imageJ || !memory.cacheActive) return;
    this.imageJ = -1;
    this.stock.record({
      kind: "cache",
      severity: "warning",
      device,
      transition: "imageOutgrewCache",
      text: `${device}: the image has outgrown the cache: a failed drive is mended still, a failed cartridge is reported`,
      evidence: { imageJ: J, cacheBytes: memory.get(at.CACHE_BYTES) },
    });
  }
}
