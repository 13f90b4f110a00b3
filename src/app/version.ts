/** @module The program's version, from package.json, built into the binary. */
import manifest from "../../package.json" with { type: "json" };

export const VERSION: string = manifest.version;
