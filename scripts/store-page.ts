/** @module Writes the page that goes on every store: how to get backups back, and the formats word for word as in
 *  docs/FORMATS.md. Run it when that changed; a test compares. */
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
export const PAGE_PATH = join(ROOT, "src/backup/store/README.txt");

const INTRO = `This directory is a store of backups, made by understudy.

To see what is in it, and to get it back:

    understudy list --store .
    understudy restore --store . latest /some/where

Without understudy, with Python 3 alone (and the zstd command where a backup was
packed with it):

    python3 restore.py --help

Never rename, move or delete one file of backups/ or packs/ by hand: younger
backups refer to older ones. "understudy pare" does it right. Copy the directory
only as a whole, with a tool that keeps holes (cp -a --sparse=always, rsync -aS,
tar -S).

What follows is how the files are made, for whoever has to read them without any
of this. Everything is little-endian. Hashes are xxHash3, 64 bit, seed 0, stored as
u64, unless said otherwise. Offsets and lengths are in bytes.

`;

const SECTIONS = ["Backup archive", "Index of a backup", "Store"];

/** The page, made from the text of docs/FORMATS.md. */
export function storePage(formats: string): string {
  const sections = formats.split(/^(?=## )/m);
  const wanted = SECTIONS.flatMap((title) => sections.filter((text) => text.startsWith(`## ${title}\n`)));
  return INTRO + wanted.map((text) => `${text.trim()}\n`).join("\n");
}

if (import.meta.main) {
  await Bun.write(PAGE_PATH, storePage(await Bun.file(join(ROOT, "docs/FORMATS.md")).text()));
}
