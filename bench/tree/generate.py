#!/usr/bin/env python3
"""Data sets for `bun run bench tree`: seeded, the same bytes, names, modes and times on every machine.

  generate.py small DIR  [--files 200000]   many source-like text files of 1 to 16 KiB (median 3.6)
  generate.py mixed DIR  [--mb 3000]        text, binaries, incompressible files, duplicates, special cases
  generate.py big DIR    [--mb 4096]        one image of a disk
  generate.py many DIR   [--files 1000000]  tiny files, 1,000 a directory: what a tree costs by its count alone
  generate.py mutate KIND DIR ROUND [--pct 1]
      changes so many per cent of the files (70 % edits, 10 % deleted, 10 % new, 10 % renamed);
      of big: overwrites so many per cent of its 64 KiB blocks in place

  --seed 1        another seed, another set
  --corpus-mb 96  text that the text files are cut from; smaller starts faster and repeats itself more
  --from-usr      text from this machine's /usr in place of the built-in grammar (no longer the same everywhere)

Prints one JSON object: what was made or changed.  Standard library only; as root the special cases are complete.
"""
import argparse
import json
import os
import random
import stat
import sys

BASE_NS = 1_700_000_000 * 10**9
BLOCK_BYTES = 65536
ENDINGS = [".c", ".h", ".py", ".ts", ".js", ".md", ".txt", ".json", ".rs", ".go"]
SYLLABLES = (
    "ba con de er fo get hash in key list map node out per que read set tree un val wr ex yi ze buf len ptr str io id"
).split()
OPENINGS = [
    "if (", "return ", "for (", "const ", "static int ", "  // ",
    "def ", "self.", "import ", "#include <", "} else {", "while (",
]
CLOSINGS = [";", " {", ")", ",", ":", ""]


def grammar_text(size):
    """Lines that compress about as source code does."""
    dice = random.Random(424242)
    words = ["".join(dice.choice(SYLLABLES) for _ in range(dice.randint(1, 4))) for _ in range(6000)]
    weights = [1.0 / (rank + 1) ** 0.9 for rank in range(len(words))]
    lines, done = [], 0
    while done < size:
        drawn, at = dice.choices(words, weights=weights, k=4000), 0
        while at + 9 < len(drawn):
            count = dice.randint(2, 9)
            indent, opening = " " * (2 * dice.randint(0, 4)), dice.choice(OPENINGS)
            rest = " ".join(drawn[at + 2:at + count])
            line = indent + opening + "_".join(drawn[at:at + 2]) + " " + rest + dice.choice(CLOSINGS)
            lines.append(line)
            done += len(line) + 1
            at += count
    return ("\n".join(lines) + "\n").encode()[:size]


def usr_text(size):
    parts, done = [], 0
    for root in ("/usr/include", "/usr/lib/python3", "/usr/share/perl", "/usr/share/doc"):
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if not name.endswith((".h", ".hpp", ".py", ".txt", ".pm", ".pl", ".rst", ".html")) or os.path.islink(path):
                    continue
                with open(path, "rb") as file:
                    parts.append(file.read())
                done += len(parts[-1])
                if done >= size:
                    return b"".join(parts)[:size]
    raise SystemExit("generate.py: /usr has too little text; leave --from-usr out")


def source_text(dice, corpus, size, tag):
    """A slice of the corpus from the start of a line, with a few places edited."""
    at = corpus.find(b"\n", dice.randrange(0, len(corpus) - size - 4096)) + 1
    text = bytearray(corpus[at:at + size])
    head = b"// %s rev %d\n" % (tag.encode(), dice.getrandbits(40))
    text[0:len(head)] = head
    for _ in range(1 + size // 1500):
        place = dice.randrange(0, max(1, len(text) - 12))
        text[place:place + 8] = b"%08x" % dice.getrandbits(32)
    return bytes(text[:size])


def log_normal(dice, mu, sigma, least, most):
    return int(min(most, max(least, dice.lognormvariate(mu, sigma))))


def small_size(dice):
    return log_normal(dice, 8.2, 0.75, 1024, 16384)


def past(dice):
    return BASE_NS - dice.randrange(0, 90_000_000) * 10**9 + dice.randrange(10**9)


def put(path, data, mtime_ns, mode=0o644):
    with open(path, "wb") as file:
        file.write(data)
    if mode != 0o644:
        os.chmod(path, mode)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def make_small(folder, files, dice, corpus):
    vendored, total = None, 0
    for n in range(files):
        sub = os.path.join(folder, "p%02d" % (n // 10000), "m%02d" % (n // 400 % 25), "d%02d" % (n // 20 % 20))
        if n % 20 == 0:
            os.makedirs(sub, exist_ok=True)
        if vendored is not None and dice.random() < 0.04:
            data = vendored
        else:
            data = source_text(dice, corpus, small_size(dice), str(n))
        if dice.random() < 0.02:
            vendored = data
        name = "f%06d%s" % (n, ENDINGS[dice.randrange(len(ENDINGS))])
        put(os.path.join(sub, name), data, past(dice), 0o755 if dice.random() < 0.05 else 0o644)
        total += len(data)
    return dict(files=files, bytes=total)


def make_many(folder, files, dice, _corpus):
    total = 0
    for n in range(files):
        sub = os.path.join(folder, "a%03d" % (n // 100000), "b%03d" % (n // 1000 % 100))
        if n % 1000 == 0:
            os.makedirs(sub, exist_ok=True)
        data = b"%x\n" % dice.getrandbits(64)
        put(os.path.join(sub, "f%07d" % n), data, past(dice))
        total += len(data)
    return dict(files=files, bytes=total)


def records(dice, size):
    """Like a program or a database: records that repeat with changing fields; LZ4 makes about half of it."""
    out, pool = bytearray(), [dice.randbytes(24) for _ in range(256)]
    while len(out) < size:
        for _ in range(512):
            key = dice.getrandbits(16)
            number = (key * 2654435761 & 0xFFFFFFFF).to_bytes(4, "little")
            out += pool[key & 255] + number + dice.randbytes(12) + bytes(8)
    return bytes(out[:size])


def make_mixed(folder, mb, dice, corpus):
    goal, total, files, earlier = mb << 20, 0, 0, []
    # Where the whole set is small no single file takes all of it.
    share = max(1 << 20, goal // 8)
    while total < goal:
        draw = dice.random()
        if draw < 0.70:
            kind, size = "txt", log_normal(dice, 8.8, 1.4, 200, 2 << 20)
        elif draw < 0.82:
            kind, size = "bin", log_normal(dice, 11.5, 1.6, 4096, 40 << 20)
        elif draw < 0.96:
            kind, size = "jpg", log_normal(dice, 13.0, 1.2, 20000, 60 << 20)
        elif draw < 0.97:
            kind, size = "mp4", log_normal(dice, 16.6, 0.8, 4 << 20, 200 << 20)
        else:
            kind, size = "dup", 0
        size = min(size, share, len(corpus) // 4 if kind == "txt" else size)
        deep = ["deep%d" % level for level in range(dice.randrange(3))]
        sub = os.path.join(folder, "a%02d" % dice.randrange(30), "b%02d" % dice.randrange(20), *deep)
        os.makedirs(sub, exist_ok=True)
        if kind == "dup" and earlier:
            with open(dice.choice(earlier), "rb") as file:
                data = file.read()
        elif kind == "txt":
            data = source_text(dice, corpus, size, str(files))
        elif kind == "bin":
            data = records(dice, size)
        else:
            data = dice.randbytes(size)
        path = os.path.join(sub, "n%06d.%s" % (files, kind))
        put(path, data, past(dice), dice.choice([0o644, 0o644, 0o644, 0o755, 0o600]))
        if dice.random() < 0.05 and len(data) < 8 << 20:
            earlier.append(path)
        total += len(data)
        files += 1
    special = os.path.join(folder, "special")
    os.makedirs(special, exist_ok=True)
    make_special(special, min(256, max(8, mb // 10)))
    return dict(files=files, bytes=total)


def make_special(folder, sparse_mb):
    put(folder + "/empty", b"", BASE_NS)
    put(folder + "/nl\nname", b"newline", BASE_NS)
    put(os.fsencode(folder) + b"/latin1-\xe9\xff", b"bytes name", BASE_NS)
    put(folder + "/" + "x" * 255, b"long name", BASE_NS)
    put(folder + "/uni\u00e9-e\u0301-\u65e5\u672c-\U0001f333", b"unicode", BASE_NS)
    for n in range(50):
        put(folder + "/h%d" % n, b"hard %d\n" % n, BASE_NS)
        os.link(folder + "/h%d" % n, folder + "/h%d.link" % n)
    os.symlink("h1", folder + "/sym")
    os.symlink("/nonexistent/\n", folder + "/dangling")
    os.mkfifo(folder + "/fifo")
    with open(folder + "/sparse", "wb") as file:
        file.truncate(sparse_mb << 20)
        file.seek((sparse_mb << 20) * 2 // 5 // 4096 * 4096)
        file.write(b"island" * 1000)
    put(folder + "/suid", b"#!", BASE_NS, 0o4755)
    put(folder + "/future", b"f", 4_000_000_000 * 10**9)
    put(folder + "/old1969", b"o", -86400 * 10**9 + 1)
    put(folder + "/xattr", b"x", BASE_NS)
    os.mkdir(folder + "/ro")
    put(folder + "/ro/f", b"r", BASE_NS)
    os.chmod(folder + "/ro", 0o555)
    deep = folder + "".join("/" + "deep" * 8 + "%02d" % level for level in range(60))
    os.makedirs(deep)
    put(deep + "/bottom", b"b", BASE_NS)
    acl = "0200000001000600ffffffff02000700d204000004000400ffffffff10000700ffffffff20000400ffffffff"
    for what in (
        lambda: os.setxattr(folder + "/xattr", "user.test", b"\x00v\xff"),
        lambda: os.setxattr(folder + "/xattr", "system.posix_acl_access", bytes.fromhex(acl)),
        lambda: (os.chown(folder + "/suid", 12345, 54321), os.chmod(folder + "/suid", 0o4755)),
        lambda: os.mknod(folder + "/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3)),
    ):
        try:
            what()
        except OSError as error:
            print("generate.py: left out:", error, file=sys.stderr)
    os.utime(folder, ns=(BASE_NS, BASE_NS))


def make_big(folder, mb, dice, corpus):
    os.makedirs(folder, exist_ok=True)
    path = folder + "/image.raw"
    with open(path, "wb") as file:
        for n in range((mb << 20) // BLOCK_BYTES):
            draw = dice.random()
            if draw < 0.45:
                block = dice.randbytes(BLOCK_BYTES)
            elif draw < 0.90:
                block = source_text(dice, corpus, BLOCK_BYTES, str(n))
            else:
                block = bytes(BLOCK_BYTES)
            file.write(block)
    os.utime(path, ns=(BASE_NS, BASE_NS))
    return dict(files=1, bytes=mb << 20)


def edited(dice, data, turn):
    data, draw = bytearray(data), dice.random()
    if draw < 0.5 and len(data) > 200:
        at = dice.randrange(0, len(data) - 100)
        data[at:at + 64] = (b"%016x" % dice.getrandbits(64)) * 4
    elif draw < 0.8:
        data += b"\n// appended %d %x\n" % (turn, dice.getrandbits(64))
    else:
        at = dice.randrange(0, len(data) + 1)
        data[at:at] = b"/* inserted %x */" % dice.getrandbits(64)
    return bytes(data)


def mutate_big(folder, turn, percent, dice, corpus):
    path = folder + "/image.raw"
    blocks = os.path.getsize(path) // BLOCK_BYTES
    chosen = dice.sample(range(blocks), max(1, int(blocks * percent / 100)))
    with open(path, "r+b") as file:
        for block in chosen:
            file.seek(block * BLOCK_BYTES)
            file.write(source_text(dice, corpus, BLOCK_BYTES, "m%d" % turn))
    return dict(edited=len(chosen), bytes=len(chosen) * BLOCK_BYTES)


def mutate_files(folder, turn, percent, dice, corpus):
    files = []
    for sub, folders, names in os.walk(folder):
        folders.sort()
        if "/special" not in sub:
            files += [sub + "/" + name for name in sorted(names)]
    done = dict(edited=0, deleted=0, new=0, renamed=0, bytes=0)
    for path in dice.sample(files, max(1, int(len(files) * percent / 100))):
        draw, facts = dice.random(), os.lstat(path)
        if draw < 0.70:
            with open(path, "rb") as file:
                data = edited(dice, file.read(), turn)
            if dice.random() < 0.5:  # as editors do: a new file, renamed over the old one
                with open(path + "~tmp", "wb") as file:
                    file.write(data)
                os.chmod(path + "~tmp", stat.S_IMODE(facts.st_mode))
                os.replace(path + "~tmp", path)
            else:
                with open(path, "r+b") as file:
                    file.write(data)
            done["edited"] += 1
            done["bytes"] += len(data)
        elif draw < 0.80:
            os.unlink(path)
            done["deleted"] += 1
        elif draw < 0.90:
            data = source_text(dice, corpus, small_size(dice), "new%d" % turn)
            with open(path + ".new%d" % turn, "wb") as file:
                file.write(data)
            done["new"] += 1
            done["bytes"] += len(data)
        else:
            os.rename(path, path + ".mv%d" % turn)
            done["renamed"] += 1
            done["bytes"] += facts.st_size
    return done


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["small", "mixed", "big", "many", "mutate"])
    parser.add_argument("rest", nargs="+")
    parser.add_argument("--files", type=int)
    parser.add_argument("--mb", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pct", type=float, default=1.0)
    parser.add_argument("--corpus-mb", type=int, default=96)
    parser.add_argument("--from-usr", action="store_true")
    options = parser.parse_args()
    os.umask(0o022)
    size = options.corpus_mb << 20
    corpus = usr_text(size) if options.from_usr else grammar_text(size)
    if options.what == "mutate":
        kind, folder, turn = options.rest[0], options.rest[1], int(options.rest[2])
        dice = random.Random("%d-%s-%d" % (options.seed, kind, turn))
        change = mutate_big if kind == "big" else mutate_files
        print(json.dumps(change(folder, turn, options.pct, dice, corpus)))
        return
    make, count = {
        "small": (make_small, options.files or 200_000),
        "many": (make_many, options.files or 1_000_000),
        "mixed": (make_mixed, options.mb or 3000),
        "big": (make_big, options.mb or 4096),
    }[options.what]
    dice = random.Random("%d-%s" % (options.seed, options.what))
    print(json.dumps(make(options.rest[0], count, dice, corpus)))


main()
