import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { libc, O_CREAT, O_DIRECT, O_RDONLY, O_RDWR, openFile } from "../base/ffi.ts";
import { createSharedMemory } from "../base/memory.ts";
import { AsyncWrites, WriteBatch } from "./aio.ts";
import { systemIo, writeOneByOne } from "./io.ts";

const EBADF = 9;
const BYTES = 8192;

/** Two iovecs of 8 KiB a member: first the member's own letter, then "x". */
function fixture(flags: readonly number[]) {
  const directory = mkdtempSync(`${tmpdir()}/understudy-aio-`);
  const shared = createSharedMemory(1 << 20);
  const batch = new WriteBatch();
  batch.iovecCount = 2;
  batch.offset = 4096;
  const paths = flags.map((_, member) => `${directory}/${member}`);
  shared.bytes.fill(120, 65536, 65536 + BYTES);
  for (const [member, flag] of flags.entries()) {
    const path = paths[member]!;
    libc.close(openFile(path, O_RDWR | O_CREAT));
    const letters = 131072 + member * BYTES;
    shared.bytes.fill(97 + member, letters, letters + BYTES);
    const iovecs = member * 32;
    for (const [i, at] of [letters, 65536].entries()) {
      shared.view.setBigUint64(iovecs + i * 16, BigInt(shared.base + at), true);
      shared.view.setBigUint64(iovecs + i * 16 + 8, BigInt(BYTES), true);
    }
    batch.add(member, flag < 0 ? flag : openFile(path, flag), shared.base + iovecs);
  }
  const close = () => {
    for (const fd of batch.fds.subarray(0, batch.count)) if (fd >= 0) libc.close(fd);
    rmSync(directory, { recursive: true });
  };
  const holds = (member: number) => {
    const file = readFileSync(paths[member]!);
    const letter = String.fromCharCode(97 + member);
    return file.toString("latin1") === "\0".repeat(4096) + letter.repeat(BYTES) + "x".repeat(BYTES);
  };
  return { batch, close, holds };
}

test("RED-02: writes to several disks at once, each with its own result", () => {
  for (const kind of [O_RDWR, O_RDWR | O_DIRECT]) {
    const { batch, close, holds } = fixture([kind, kind, kind, kind]);
    systemIo.pwritevAll(batch);
    expect([...batch.results.subarray(0, 4)]).toEqual([2 * BYTES, 2 * BYTES, 2 * BYTES, 2 * BYTES]);
    for (let member = 0; member < 4; member++) expect(holds(member)).toBe(true);
    close();
  }
});

test("RED-03: a disk that refuses costs the others nothing, wherever it stands in the batch", () => {
  for (const refused of [O_RDONLY, -1])
    for (let bad = 0; bad < 3; bad++) {
      const { batch, close, holds } = fixture([0, 1, 2].map((member) => (member === bad ? refused : O_RDWR)));
      systemIo.pwritevAll(batch);
      for (let member = 0; member < 3; member++) {
        expect(batch.results[member]).toBe(member === bad ? -EBADF : 2 * BYTES);
        expect(holds(member)).toBe(member !== bad);
      }
      close();
    }
});

test("RED-02: where the kernel has no asynchronous writes, they are made one by one", () => {
  const { batch, close, holds } = fixture([O_RDWR, O_RDONLY, O_RDWR]);
  writeOneByOne(systemIo, batch);
  expect([...batch.results.subarray(0, 3)]).toEqual([2 * BYTES, -EBADF, 2 * BYTES]);
  expect(holds(0) && holds(2)).toBe(true);
  close();
});

test.skipIf(AsyncWrites.open() === null)("RED-02: what was not submitted is reported as such", () => {
  const { batch, close, holds } = fixture([O_RDWR, -1, O_RDWR]);
  const writes = AsyncWrites.open();
  expect(writes?.write(batch)).toBe(1);
  expect(batch.results[0]).toBe(2 * BYTES);
  expect(holds(2)).toBe(false);
  close();
});
