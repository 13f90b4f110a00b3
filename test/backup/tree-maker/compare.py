#!/usr/bin/env python3
"""compare.py A B: are two trees equal?  Exit code 0: yes; 1: no, with a line that counts the differences by kind.

Names (bytes), kind, size, SHA-256, mode, owner, mtime (ns), link text, device numbers, xattrs and ACLs, groups of hard
links, holes (allocated blocks).  The roots' own attributes count; directories' sizes and link counts do not.
Independent of the product on purpose: nothing of it is used here."""
import collections
import hashlib
import os
import stat
import sys

# A restored file may take this much more than the original before its holes count as lost.
SLACK_BLOCKS = 64

Facts = collections.namedtuple("Facts", "mode uid gid size mtime_ns blocks device text sha256 xattrs")


def digest(path):
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            part = file.read(1 << 20)
            if not part:
                return state.digest()
            state.update(part)


def xattrs_of(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    except OSError:
        return {}


def survey(root):
    """({relative path: Facts}, {sorted tuple of paths that are one file}); paths are bytes, the root's is empty.

    Walks by directory descriptors: trees may be deeper than PATH_MAX."""
    entries, inodes = {}, collections.defaultdict(list)
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        entries[b""] = facts_of("/proc/self/fd/%d/." % here)
        walk(here, b"", entries, inodes)
    finally:
        os.close(here)
    return entries, {tuple(sorted(group)) for group in inodes.values() if len(group) > 1}


def facts_of(path):
    found = os.lstat(path)
    kind = stat.S_IFMT(found.st_mode)
    special = kind in (stat.S_IFCHR, stat.S_IFBLK)
    return Facts(
        mode=kind if kind == stat.S_IFLNK else found.st_mode,
        uid=found.st_uid,
        gid=found.st_gid,
        size=found.st_size if kind == stat.S_IFREG else 0,
        mtime_ns=found.st_mtime_ns,
        blocks=found.st_blocks if kind == stat.S_IFREG else 0,
        device=found.st_rdev if special else 0,
        text=os.readlink(path) if kind == stat.S_IFLNK else None,
        sha256=digest(path) if kind == stat.S_IFREG else None,
        xattrs=xattrs_of(path),
    )


def walk(folder, prefix, entries, inodes):
    base = b"/proc/self/fd/%d/" % folder
    for name in os.listdir(base):
        found = os.lstat(base + name)
        path = prefix + name
        entries[path] = facts_of(base + name)
        if stat.S_ISDIR(found.st_mode):
            below = os.open(base + name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                walk(below, path + b"/", entries, inodes)
            finally:
                os.close(below)
        elif found.st_nlink > 1:
            inodes[found.st_dev, found.st_ino].append(path)


def time_kind(wanted, got):
    kinds = {stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}
    kind = "mtime-" + kinds.get(stat.S_IFMT(wanted.mode), "file")
    return kind + ("-subsecond" if wanted.mtime_ns // 10**9 == got.mtime_ns // 10**9 else "")


def differences(wanted, got):
    """[(kind, path)] of two surveys; `got` is held against `wanted`."""
    (there, there_groups), (here, here_groups) = wanted, got
    found = [("missing", path) for path in sorted(there.keys() - here.keys())]
    found += [("extra", path) for path in sorted(here.keys() - there.keys())]
    for path in sorted(there.keys() & here.keys()):
        a, b = there[path], here[path]
        if stat.S_IFMT(a.mode) != stat.S_IFMT(b.mode):
            found.append(("kind", path))
            continue
        checks = [
            ("mode", a.mode != b.mode),
            ("owner", (a.uid, a.gid) != (b.uid, b.gid)),
            (time_kind(a, b), a.mtime_ns != b.mtime_ns),
            ("xattrs", a.xattrs != b.xattrs),
            ("size", a.size != b.size),
            ("content", a.size == b.size and a.sha256 != b.sha256),
            ("link text", a.text != b.text),
            ("device", a.device != b.device),
            ("holes", b.blocks > a.blocks * 1.1 + SLACK_BLOCKS),
        ]
        found += [(kind, path) for kind, differs in checks if differs]
    found += [("hard links", b" ".join(group)) for group in sorted(there_groups ^ here_groups)]
    return found


def describe(found, entries):
    if not found:
        return "%d entries, equal" % entries
    kinds = collections.Counter(kind for kind, _ in found)
    first = {kind: path for kind, path in reversed(found)}
    return "%d entries, " % entries + ", ".join(
        "%s %d (%r)" % (kind, count, first[kind][-100:]) for kind, count in sorted(kinds.items())
    )


def main():
    wanted, got = survey(sys.argv[1]), survey(sys.argv[2])
    found = differences(wanted, got)
    print(describe(found, len(wanted[0])))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
