/** @module Runs a host command to its end and gives its output, or throws with the end of what it said. */

const ERROR_TAIL_CHARACTERS = 4000;

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: Uint8Array;
}

export async function runCommand(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const child = Bun.spawn([...argv], {
    stdin: options.input ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, LC_ALL: "C", ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0) {
    const said = `${output}\n${errors}`.trim().slice(-ERROR_TAIL_CHARACTERS);
    throw new Error(`${argv[0]} ended with ${exitCode}: ${said}`);
  }
  return output;
}
