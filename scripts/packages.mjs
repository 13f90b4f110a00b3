/** @module Installs these Debian packages where that may be done (as root): `node scripts/packages.mjs NAME...`. */
import { setUpDebian } from "./house/debian.mjs";

const missing = await setUpDebian(process.argv.slice(2));
process.exitCode = missing.length === 0 ? 0 : 1;
