/** @module A directory as a tar stream, by the system's own tar, read with blocking calls into memory at a native address. */
import { libc } from "../../base/ffi.ts";

function command(directory: string): string {
  const quoted = `'${directory.replaceAll("'", "'\\''")}'`;
  // What changes or vanishes under tar's hands is not the demonstration's matter: the stream is what counts.
  return `exec tar --ignore-failed-read -C ${quoted} -cf - . 2>/dev/null\0`;
}

/** One pass of tar over the directory. */
export class TarStream {
  private readonly file: number;
  private readonly fd: number;

  constructor(directory: string) {
    const line = Buffer.from(command(directory));
    this.file = Number(libc.popen(line as unknown as never, Buffer.from("r\0") as unknown as never));
    if (this.file === 0) throw new Error("tar cannot be started");
    this.fd = libc.fileno(this.file as never);
  }

  /** Fills `bytes` at the address; fewer only at the end of the stream. */
  read(address: number, bytes: number): number {
    let done = 0;
    while (done < bytes) {
      const got = Number(libc.read(this.fd, address + done, bytes - done));
      if (got <= 0) break;
      done += got;
    }
    return done;
  }

  close(): void {
    libc.pclose(this.file as never);
  }
}

/** Bytes of one pass. */
export async function tarStreamBytes(directory: string): Promise<number> {
  const tar = Bun.spawn(["sh", "-c", command(directory).slice(0, -1)], { stdout: "pipe", stderr: "ignore" });
  let bytes = 0;
  for await (const part of tar.stdout) bytes += part.length;
  await tar.exited;
  return bytes;
}
