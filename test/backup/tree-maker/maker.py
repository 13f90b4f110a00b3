#!/usr/bin/env python3
"""Random trees and random edits of them, and a memory of how they were: the other side of the property tests.

Reads one JSON object a line, answers with one:
  {"do": "make", "dir": D, "seed": S}            a tree below D (made), with all that a file system can hold
  {"do": "edit", "dir": D, "seed": S, "count": N} N random edits; answers what was done
  {"do": "remember", "dir": D, "name": X}        how D is now
  {"do": "compare", "dir": D, "name": X}         is D as X was? {"equal": bool, "text": ..., "found": [[KIND, PATH]...]}
  {"do": "compare", ..., "path": P}              the same of a restore of P alone: P, what is below it, the directories to it
  {"do": "paths", "name": X}                     all paths of X, bytes as latin-1
  {"do": "forget", "name": X}

The same seed on the same tree does the same.  What the file system or the user's rights do not allow is left out."""
import ctypes
import json
import os
import random
import shutil
import stat
import sys

import compare

PIECE = 256 * 1024
ROOT = os.geteuid() == 0
libc = ctypes.CDLL(None, use_errno=True)
ACL = bytes.fromhex("0200000001000600ffffffff02000700d204000004000400ffffffff10000700ffffffff20000400ffffffff")
# Names that sort differently by bytes, by components and by text.
AWKWARD = [
    b"a", b"a!", b"a-", b"a.", b"a0", b"ab", b"A", b"-rf", b".hidden", b"..x", b"...", b" ", b"*", b"[a]", b"\\", b"nl\nname",
    b"tab\t", b"caf\xc3\xa9", b"cafe\xcc\x81", b"latin-\xe9", b"\xff\xfe", b"\x01", b"%41", b"\xf0\x9f\x8c\xb3", b"x" * 255,
]
SIZES = [0, 1, 2, 511, 4095, 4096, 4097, 65536, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 77, 3 * PIECE - 1]


class Tree:
    def __init__(self, top, seed):
        self.top = os.fsencode(top)
        self.dice = random.Random(seed)

    # What is there, in an order that does not depend on the file system.

    def list(self, kinds="fdlo"):
        found = []

        def visit(folder):
            for name in sorted(os.listdir(folder)):
                path = folder + b"/" + name
                mode = os.lstat(path).st_mode
                kind = "d" if stat.S_ISDIR(mode) else "f" if stat.S_ISREG(mode) else "l" if stat.S_ISLNK(mode) else "o"
                if kind in kinds:
                    found.append(path)
                if kind == "d":
                    visit(path)

        visit(self.top)
        return found

    def folders(self):
        return [self.top] + self.list("d")

    def any(self, paths):
        return self.dice.choice(paths) if paths else None

    def name(self):
        draw = self.dice.random()
        if draw < 0.4:
            return self.dice.choice(AWKWARD)
        if draw < 0.7:
            return b"f%d" % self.dice.randrange(1000)
        length = self.dice.choice([1, 2, 3, 8, 40, 255])
        return bytes(self.dice.choice([c for c in range(1, 256) if c != 0x2F]) for _ in range(length))

    def free(self, folder=None):
        """A path that is not there yet; kept shorter than PATH_MAX, so that every tool of the test can name it."""
        for _ in range(100):
            place = folder if folder is not None else self.any(self.folders())
            path = place + b"/" + self.name()
            if not os.path.lexists(path) and os.path.basename(path) not in (b".", b"..") and len(path) < 3500:
                return path
        return self.top + b"/free%d" % self.dice.getrandbits(64)

    def content(self, size):
        draw = self.dice.random()
        if draw < 0.4:
            return self.dice.randbytes(size)
        if draw < 0.8:
            line = b"%d lines of text that packs well %d\n" % (self.dice.randrange(100), self.dice.getrandbits(32))
            return (line * (size // len(line) + 1))[:size]
        return bytes(size)

    def size(self):
        return self.dice.choice(SIZES) if self.dice.random() < 0.35 else int(self.dice.expovariate(1 / 3000))

    def moment(self):
        second = self.dice.choice([-86400, -1, 0, 1_000_000_000, 4_000_000_000, self.dice.randrange(-10**9, 4 * 10**9)])
        return second * 10**9 + self.dice.choice([0, 1, 999_999_999, self.dice.randrange(10**9)])

    # Making.

    def make(self):
        os.makedirs(self.top)
        for _ in range(self.dice.randrange(3, 12)):
            os.mkdir(self.free())
        if self.dice.random() < 0.5:
            deep = self.top
            for level in range(self.dice.choice([10, 40, 90])):
                deep += b"/%d" % level
                os.mkdir(deep)
            self.file(deep + b"/bottom")
        for _ in range(self.dice.randrange(10, 70)):
            self.new()
        for _ in range(self.dice.randrange(0, 6)):
            self.link()
        for path in self.list():
            self.dress(path)
        # A directory's time is set once nothing more comes into it.
        for path in self.list("d")[::-1] + [self.top]:
            if self.dice.random() < 0.7:
                self.touch(path)

    def new(self):
        make = self.dice.choices(
            [self.file, self.sparse, self.symlink, self.other, self.folder], weights=[60, 8, 12, 8, 6]
        )[0]
        return make(self.free())

    def file(self, path):
        with open(path, "wb") as file:
            file.write(self.content(self.size()))
        return "file"

    def sparse(self, path):
        with open(path, "wb") as file:
            for _ in range(self.dice.randrange(0, 6)):
                file.seek(self.dice.choice([4096, 65536, PIECE, 5 * PIECE + 4096]), os.SEEK_CUR)
                file.write(self.dice.randbytes(self.dice.choice([1, 4096, 70000, PIECE + 5])))
            file.truncate(max(file.tell(), self.dice.choice([0, 1, PIECE, 7 * PIECE + 1])))
        return "sparse file"

    def symlink(self, path):
        target = self.dice.choice([b"f1", b"../..", b"/etc/passwd", b"/nonexistent/\n\xff", b"x" * 3000, self.name()])
        os.symlink(target, path)
        return "symbolic link"

    def other(self, path):
        kinds = [stat.S_IFIFO, stat.S_IFSOCK] + ([stat.S_IFCHR, stat.S_IFBLK] if ROOT else [])
        kind = self.dice.choice(kinds)
        special = kind in (stat.S_IFCHR, stat.S_IFBLK)
        os.mknod(path, kind | 0o644, os.makedev(1, self.dice.choice([3, 5, 300])) if special else 0)
        return "special file"

    def folder(self, path):
        os.mkdir(path)
        for _ in range(self.dice.randrange(0, 4)):
            self.file(self.free(path))
        return "directory"

    def link(self):
        path = self.any(self.list("flo"))
        if path is None:
            return "no link"
        os.link(path, self.free(), follow_symlinks=False)
        return "hard link"

    def dress(self, path):
        for what in (self.chmod, self.chown, self.xattr, self.touch):
            if self.dice.random() < 0.3:
                what(path)

    def chmod(self, path):
        if os.path.islink(path):
            return "no mode"
        folder = os.path.isdir(path)
        mode = self.dice.choice([0o600, 0o644, 0o755, 0o4755, 0o2750, 0o1777, 0o7777, 0o444, 0, self.dice.randrange(0o10000)])
        if not ROOT:
            mode = mode & 0o777 | (0o700 if folder else 0o600)
        os.chmod(path, mode)
        return "mode"

    def chown(self, path):
        if ROOT:
            mode = os.lstat(path).st_mode
            os.lchown(path, self.dice.choice([0, 1, 1000, 12345, 2**31]), self.dice.choice([0, 1, 1000, 54321]))
            if not stat.S_ISLNK(mode):
                os.chmod(path, stat.S_IMODE(mode))
        return "owner"

    def xattr(self, path):
        names = ["user.a", "user.empty", "user.%d" % self.dice.randrange(9), "trusted.x", "system.posix_acl_access"]
        name = self.dice.choice(names)
        value = b"" if name == "user.empty" else self.dice.randbytes(self.dice.choice([1, 10, 200, 3000]))
        try:
            if self.dice.random() < 0.25:
                os.removexattr(path, name, follow_symlinks=False)
            else:
                value = ACL if name.startswith("system") else value
                os.setxattr(path, name, value, follow_symlinks=False)
        except OSError:
            return "no attribute"
        return "attribute"

    def touch(self, path):
        moment = self.moment()
        os.utime(path, ns=(moment, moment), follow_symlinks=False)
        return "time"

    # Editing. Each tells what it did; one that finds nothing to do is as good as any.

    def edit(self):
        action = self.dice.choice([
            self.new, self.new, self.link, self.overwrite, self.overwrite, self.overwrite, self.sneak, self.sneak, self.append,
            self.cut, self.page, self.punch, self.delete, self.delete_folder, self.rename, self.rename, self.move_folder,
            self.replace_kind, self.rename_over, self.swap, self.part, self.rewrite,
            lambda: self.chmod(self.any(self.list("fd")) or self.top),
            lambda: self.chown(self.any(self.list()) or self.top),
            lambda: self.xattr(self.any(self.list("fd")) or self.top),
            lambda: self.touch(self.any(self.list()) or self.top),
        ])
        return action()

    def chosen(self, least=0):
        return self.any([path for path in self.list("f") if os.lstat(path).st_size >= least])

    def overwrite(self, keep_times=False):
        path = self.chosen(1)
        if path is None:
            return "nothing"
        facts = os.lstat(path)
        at = self.dice.randrange(0, facts.st_size)
        data = self.dice.randbytes(min(facts.st_size - at, self.dice.choice([1, 16, 5000, PIECE])))
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(data)
        if keep_times:
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        return "overwrote"

    def sneak(self):
        return self.overwrite(keep_times=True) + ", time put back"

    def append(self):
        path = self.chosen()
        if path is None:
            return "nothing"
        with open(path, "ab") as file:
            file.write(self.content(self.size()))
        return "appended"

    def cut(self):
        path = self.chosen(1)
        if path is None:
            return "nothing"
        os.truncate(path, self.dice.randrange(0, os.lstat(path).st_size))
        return "cut"

    def page(self):
        """One page of a large file, as a database writes."""
        path = self.chosen(PIECE + 1)
        if path is None:
            return "nothing"
        with open(path, "r+b") as file:
            file.seek(self.dice.randrange(0, os.lstat(path).st_size // 4096) * 4096)
            file.write(self.dice.randbytes(4096))
        return "wrote a page"

    def punch(self):
        path = self.chosen(8192)
        if path is None:
            return "nothing"
        size = os.lstat(path).st_size
        at = self.dice.randrange(0, size // 4096) * 4096
        length = self.dice.choice([4096, 65536, PIECE, size])
        with open(path, "r+b") as file:
            libc.fallocate(file.fileno(), 3, ctypes.c_long(at), ctypes.c_long(length))
        return "punched a hole"

    def delete(self):
        path = self.any(self.list("flo"))
        if path is not None:
            os.unlink(path)
        return "deleted"

    def delete_folder(self):
        path = self.any(self.list("d"))
        if path is not None and self.dice.random() < 0.5:
            shutil.rmtree(path)
        return "deleted a directory"

    def rename(self):
        path = self.any(self.list("flo"))
        if path is not None:
            os.rename(path, self.free())
        return "renamed"

    def move_folder(self):
        path = self.any(self.list("d"))
        if path is None:
            return "nothing"
        homes = [home for home in self.folders() if not (home + b"/").startswith(path + b"/")]
        os.rename(path, self.free(self.any(homes)))
        return "moved a directory"

    def replace_kind(self):
        path = self.any(self.list())
        if path is None:
            return "nothing"
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
        return "replaced by " + self.dice.choice([self.file, self.sparse, self.symlink, self.other, self.folder])(path)

    def rename_over(self):
        paths = self.list("fl")
        if len(paths) < 2:
            return "nothing"
        one, other = self.dice.sample(paths, 2)
        os.rename(one, other)
        return "renamed over"

    def swap(self):
        paths = self.list("flo")
        if len(paths) < 2:
            return "nothing"
        one, other = self.dice.sample(paths, 2)
        between = self.free()
        os.rename(one, between)
        os.rename(other, one)
        os.rename(between, other)
        return "swapped"

    def part(self):
        """One of several names of a file becomes a file of its own, with the same content."""
        paths = [path for path in self.list("f") if os.lstat(path).st_nlink > 1]
        path = self.any(paths)
        if path is None:
            return "nothing"
        between = self.free()
        shutil.copy2(path, between)
        os.rename(between, path)
        return "parted"

    def rewrite(self):
        """As editors do: a new file with the old one's times and size, renamed over it."""
        path = self.chosen(1)
        if path is None:
            return "nothing"
        facts = os.lstat(path)
        between = self.free(os.path.dirname(path))
        with open(between, "wb") as file:
            file.write(self.dice.randbytes(facts.st_size))
        os.chmod(between, stat.S_IMODE(facts.st_mode))
        os.utime(between, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        os.rename(between, path)
        return "rewritten"


def latin(path):
    return path.decode("latin-1")


class Memory:
    def __init__(self):
        self.known = {}

    def answer(self, request):
        what, folder = request["do"], request.get("dir")
        if what == "make":
            Tree(folder, request["seed"]).make()
            return {}
        if what == "edit":
            tree = Tree(folder, request["seed"])
            return {"done": [tree.edit() for _ in range(request["count"])]}
        name = request["name"]
        if what == "remember":
            self.known[name] = compare.survey(folder)
            return {"entries": len(self.known[name][0])}
        if what == "forget":
            del self.known[name]
            return {}
        wanted = self.known[name]
        if what == "paths":
            return {"paths": sorted(latin(path) for path in wanted[0])}
        got = compare.survey(folder)
        if "path" in request:
            wanted, got = part(wanted, request["path"]), part(got, request["path"], strict=True)
        found = compare.differences(wanted, got)
        text = compare.describe(found, len(wanted[0]))
        return {"equal": not found, "text": text, "found": [[kind, latin(path)] for kind, path in found]}


def part(survey, path, strict=False):
    """What of a survey is `path` or below it. Strict: what is neither, nor a directory that leads to it, stays too."""
    entries, groups = survey
    top = path.encode("latin-1")

    def counts(one):
        if one == top or one.startswith(top + b"/"):
            return True
        return strict and not (one == b"" or top.startswith(one + b"/"))

    kept = {one: facts for one, facts in entries.items() if counts(one)}
    parts = {tuple(one for one in group if one in kept) for group in groups}
    return kept, {group for group in parts if len(group) > 1}


def main():
    sys.setrecursionlimit(10000)
    os.umask(0o022)
    memory = Memory()
    for line in sys.stdin:
        print(json.dumps(memory.answer(json.loads(line))), flush=True)


main()
