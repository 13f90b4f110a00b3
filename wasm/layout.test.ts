import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { MODULE_BASE } from "./bases.ts";
import * as layout from "./ring/layout.ts";

test("layout: no two control words share a 64-byte line, and areas do not overlap", () => {
  const control = Object.entries(layout)
    .filter(
      ([name, at]) =>
        at >= layout.CONTROL && at < layout.CONTROL_END && name !== "CONTROL" && name !== "CONTROL_END",
    )
    .filter(([, at]) => at >= layout.CONTROL)
    .map(([name, at]) => ({ name, at }));
  const seen = new Map<number, string>();
  for (const { name, at } of control) {
    expect(at % 64).toBe(0);
    const earlier = seen.get(at);
    // sizes and kinds may share a number with an offset: only names of the control page count
    if (earlier !== undefined) throw new Error(`${name} and ${earlier} lie at ${at}`);
    seen.set(at, name);
  }
  const areas: [number, number][] = [
    [layout.CONTROL, layout.CONTROL_END],
    [layout.ORDER, layout.ORDER + layout.ORDER_BYTES],
    [layout.CACHE_IOVECS, layout.CACHE_IOVECS + layout.CACHE_IOVECS_BYTES],
    [layout.PARITY, layout.PARITY + layout.PARITY_BYTES],
    [layout.READ, layout.READ + layout.READ_BYTES],
    [layout.REPLAY, layout.REPLAY + layout.REPLAY_BYTES],
    [layout.RING, layout.RING + 1],
  ];
  for (let i = 1; i < areas.length; i++) expect(areas[i]![0]).toBeGreaterThanOrEqual(areas[i - 1]![1]);
});

test("layout: static data of the modules does not overlap", () => {
  const bases = Object.entries(MODULE_BASE).sort((a, b) => a[1] - b[1]);
  for (let i = 0; i < bases.length; i++) {
    const [name, base] = bases[i]!;
    let wasm: Uint8Array;
    try {
      wasm = readFileSync(`${import.meta.dir}/${name}/build/${name}.wasm`);
    } catch {
      continue;
    }
    const next = bases[i + 1]?.[1] ?? 65536;
    const dataEnd = endOfData(new Uint8Array(wasm));
    if (dataEnd > 0) {
      expect(dataEnd).toBeGreaterThan(base);
      expect(dataEnd).toBeLessThanOrEqual(next);
    }
  }
});

/** End of the last active data segment of a wasm binary (section 11). */
function endOfData(wasm: Uint8Array): number {
  let at = 8;
  const leb = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = wasm[at++]!;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < wasm.length) {
    const id = wasm[at++];
    const size = leb();
    const end = at + size;
    if (id === 11) {
      let last = 0;
      for (let n = leb(); n > 0; n--) {
        leb(); // mode
        at++; // i32.const
        const offset = leb();
        at++; // end
        const length = leb();
        at += length;
        last = Math.max(last, offset + length);
      }
      return last;
    }
    at = end;
  }
  return 0;
}
