/** @module A gateway as an operator starts it: `serve` in a process of its own, with a configuration file, on free ports of
 *  the loopback, in a directory that goes away with it. */
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { Client } from "../../src/cli/client.ts";
import { Initiator } from "../../src/iscsi/initiator.ts";

const ROOT = join(import.meta.dir, "../..");
const SERVE_FROM_SOURCE = [process.execPath, join(ROOT, "src/main.ts")];
const READY_WITHIN_MS = 30_000;
const CONNECT_MS = 10_000;
const RAM = "/dev/shm";
const RAM_BYTES_MIN = 2e9;

const readySchema = z.object({
  event: z.literal("ready"),
  iscsi: z.object({ host: z.string(), port: z.number() }),
  targetName: z.string(),
  httpUrl: z.string(),
  notes: z.array(z.string()),
});

export interface GatewayOptions {
  /** understudy.toml; `{dir}` stands for the directory of this gateway. */
  readonly settings: string;
  readonly directory: string;
  /** The program and its first arguments; default: from source. */
  readonly program?: readonly string[];
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A directory in memory where there is room, so that tests do not wait for a shared disk. */
export function temporaryDirectory(name: string): string {
  let base = tmpdir();
  try {
    const { bavail, bsize } = statfsSync(RAM);
    if (bavail * bsize > RAM_BYTES_MIN) base = RAM;
  } catch {
    // No such file system here.
  }
  return mkdtempSync(join(base, `understudy-${name}-`));
}

export class Gateway {
  private constructor(
    readonly directory: string,
    readonly ready: z.infer<typeof readySchema>,
    readonly api: Client,
    private readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">,
    private readonly said: Promise<string>,
  ) {}

  static async start(options: GatewayOptions): Promise<Gateway> {
    const { directory, program = SERVE_FROM_SOURCE } = options;
    mkdirSync(directory, { recursive: true });
    const file = join(directory, "understudy.toml");
    writeFileSync(file, options.settings.replaceAll("{dir}", directory));
    const child = Bun.spawn(
      [
        ...program,
        "serve",
        "--json",
        ...["-c", file, "--state", join(directory, "state")],
        ...["--iscsi", "127.0.0.1:0", "--http", "127.0.0.1:0"],
      ],
      {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        ...(options.environment === undefined ? {} : { env: options.environment }),
      },
    );
    const said = new Response(child.stderr).text();
    const late = setTimeout(() => child.kill("SIGKILL"), READY_WITHIN_MS);
    const ready = await firstLine(child.stdout);
    clearTimeout(late);
    if (ready === "") {
      await child.exited;
      throw new Error(`the gateway did not start: ${await said}`);
    }
    const facts = readySchema.parse(JSON.parse(ready));
    return new Gateway(directory, facts, new Client(facts.httpUrl, undefined), child, said);
  }

  connect(depth = 4): Initiator {
    const { iscsi, targetName } = this.ready;
    return Initiator.connect({
      ...iscsi,
      targetName,
      initiatorName: "iqn.2026-01.org.understudy:end-to-end",
      timeoutMs: CONNECT_MS,
      depth,
    });
  }

  cartridgeFile(barcode: string): string {
    return join(this.directory, "state", "library", "cartridges", `${barcode}.tape`);
  }

  /** SIGTERM: drains and stops. Resolves with the exit code. */
  async stop(): Promise<number> {
    this.child.kill("SIGTERM");
    const code = await this.child.exited;
    await this.said;
    return code;
  }

  /** As a power cut ends a process. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
    await this.said;
  }

  /** What it wrote to standard error; once it has ended. */
  get messages(): Promise<string> {
    return this.said;
  }
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  return "";
}

/** What the gateway has to say of a test that failed. */
async function history(gateway: Gateway | null): Promise<string> {
  try {
    const events = (await gateway?.api.events(0, 1000)) ?? [];
    return events
      .map(({ transition, text, evidence }) => `${transition}: ${text} ${JSON.stringify(evidence)}`)
      .join("\n");
  } catch {
    return "the gateway does not answer any more";
  }
}

/** Runs a body with a gateway; whatever happens, the process ends and its directory goes. */
export async function withGateway(
  name: string,
  settings: string,
  body: (gateway: Gateway) => Promise<void>,
): Promise<void> {
  const directory = temporaryDirectory(name);
  let gateway: Gateway | null = null;
  try {
    gateway = await Gateway.start({ settings, directory });
    await body(gateway);
  } catch (error) {
    process.stderr.write(`${await history(gateway)}\n`);
    throw error;
  } finally {
    await gateway?.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}
