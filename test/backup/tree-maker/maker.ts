/** @module Random trees for tests: maker.py as a process that answers one question at a time. */
import { join } from "node:path";

export interface Comparison {
  readonly equal: boolean;
  /** What differs, by kind, with a path of each. */
  readonly text: string;
  /** Kind of difference and path below the top; bytes as latin-1. Of "hard links" all paths of the group. */
  readonly found: readonly (readonly [kind: string, path: string])[];
}

const SCRIPT = join(import.meta.dir, "maker.py");

export class TreeMaker {
  readonly #child = Bun.spawn(["python3", "-B", SCRIPT], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  readonly #lines = linesOf(this.#child.stdout);
  #last: Promise<unknown> = Promise.resolve();

  async make(dir: string, seed: string): Promise<void> {
    await this.#ask({ do: "make", dir, seed });
  }

  /** What was done, in words. */
  async edit(dir: string, seed: string, count: number): Promise<readonly string[]> {
    return (await this.#ask<{ done: string[] }>({ do: "edit", dir, seed, count })).done;
  }

  async remember(dir: string, name: string): Promise<void> {
    await this.#ask({ do: "remember", dir, name });
  }

  async forget(name: string): Promise<void> {
    await this.#ask({ do: "forget", name });
  }

  /** `path` (bytes as latin-1): only it was to be restored. */
  async compare(dir: string, name: string, path?: string): Promise<Comparison> {
    return await this.#ask<Comparison>({ do: "compare", dir, name, ...(path === undefined ? {} : { path }) });
  }

  /** Paths of a remembered tree below its top; bytes as latin-1. */
  async paths(name: string): Promise<readonly string[]> {
    return (await this.#ask<{ paths: string[] }>({ do: "paths", name })).paths;
  }

  async stop(): Promise<void> {
    await this.#child.stdin.end();
    await this.#child.exited;
  }

  #ask<T>(question: Readonly<Record<string, unknown>>): Promise<T> {
    const answer = this.#last.then(async () => {
      this.#child.stdin.write(`${JSON.stringify(question)}\n`);
      await this.#child.stdin.flush();
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error(`maker.py ended at ${JSON.stringify(question)}`);
      return JSON.parse(value) as T;
    });
    this.#last = answer.catch(() => {});
    return answer;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const part of stream) {
    const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
