/** @module Unpacks `vmlinux` from Debian's `vmlinuz`.
 *
 *  QEMU boots the bare ELF directly (PVH); the emulated decompression of the packed one would cost 3 s a boot. Fields of
 *  the boot protocol's header (Documentation/arch/x86/boot.rst), from the file's start:
 *
 *      0x1f1  u8   setup_sects      protected-mode code starts at (setup_sects + 1) * 512
 *      0x202  "HdrS"
 *      0x248  u32  payload_offset   from the protected-mode code
 *      0x24c  u32  payload_length   xz and zstd: the last 4 bytes are the unpacked size, not part of the stream */

import { runCommand } from "./command.ts";

const SECTOR_BYTES = 512;
const SIZE_TRAILER_BYTES = 4;

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, index) => bytes[index] === byte);
}

async function unpack(payload: Uint8Array, workDirectory: string): Promise<Uint8Array> {
  if (startsWith(payload, [0x1f, 0x8b])) return Bun.gunzipSync(new Uint8Array(payload));
  const stream = payload.subarray(0, payload.length - SIZE_TRAILER_BYTES);
  if (startsWith(stream, [0x28, 0xb5, 0x2f, 0xfd])) return Bun.zstdDecompressSync(new Uint8Array(stream));
  if (startsWith(stream, [0xfd, 0x37, 0x7a, 0x58, 0x5a])) {
    await Bun.write(`${workDirectory}/vmlinux.xz`, stream);
    await runCommand(["xz", "--decompress", "--force", "vmlinux.xz"], { cwd: workDirectory });
    return Bun.file(`${workDirectory}/vmlinux`).bytes();
  }
  throw new Error("the kernel's payload is packed in an unknown format");
}

/** Writes `workDirectory`/vmlinux. */
export async function extractVmlinux(vmlinuzPath: string, workDirectory: string): Promise<void> {
  const packed = await Bun.file(vmlinuzPath).bytes();
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  if (new TextDecoder().decode(packed.subarray(0x202, 0x206)) !== "HdrS") {
    throw new Error(`${vmlinuzPath} is not a Linux x86 boot image`);
  }
  const start = (view.getUint8(0x1f1) + 1) * SECTOR_BYTES + view.getUint32(0x248, true);
  const elf = await unpack(packed.subarray(start, start + view.getUint32(0x24c, true)), workDirectory);
  if (!startsWith(elf, [0x7f, 0x45, 0x4c, 0x46])) throw new Error("the unpacked kernel is not an ELF file");
  await Bun.write(`${workDirectory}/vmlinux`, elf);
}
