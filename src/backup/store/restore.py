#!/usr/bin/env python3
"""Restores from this store with Python 3 alone (and the zstd command, where archives were packed by it):
    restore.py STORE                      lists the backups
    restore.py STORE NUMBER|latest DEST   restores one into DEST, a new or empty directory
Each file's SHA-256 is checked: what is damaged is named (exit code 1), the rest is restored."""
import base64, hashlib, json, os, subprocess, sys
from types import SimpleNamespace
from struct import unpack_from as at
def unlz4(s):
    d, i = bytearray(), 0
    def length(n):
        nonlocal i
        while n >= 15 and (i := i + 1) and (n := n + s[i - 1]) and s[i - 1] == 255: pass
        return n
    while True:
        token = s[i]; i += 1
        n = length(token >> 4); d += s[i:i + n]; i += n
        if i >= len(s): return bytes(d)
        back = s[i] | s[i + 1] << 8; i += 2; n = length(token & 15) + 4; start = len(d) - back
        d += d[start:start + n] if back >= n else (d[start:] * (n // back + 1))[:n]
def unzstd(s):
    return subprocess.run(["zstd", "-dcq"], input=s, stdout=subprocess.PIPE, check=True).stdout

class Archive:
    def __init__(self, path):
        self.f = open(path, "rb"); b = self.f.read(4096); n = at("<I", b, 20)[0]; self.chunks = {}; self.table = None
        self.block = b + self.f.read((n + 4127) // 4096 * 4096 - 4096); self.f.seek(-512, 2); self.foot = self.f.read()
        if b[:20] != b"UNDERSTUDY-TREE\0\1\0\0\0" or self.foot[:20] != b"UNDERSTUDY-FOOT\0\1\0\0\0":
            raise ValueError(f"{path} is no complete archive of version 1")
        self.header = json.loads(self.block[32:32 + n])
    def frame(self, offset):
        self.f.seek(offset); h = self.f.read(32); plain, stored = at("<II", h, 8)
        data = (bytes, unlz4, unzstd)[h[5]](self.f.read(stored))
        if h[:4] != b"FRAM" or len(data) != plain: raise ValueError(f"no whole frame at {offset}")
        return data, offset + (stored + 47) // 16 * 16
    def section(self, field):
        offset, n = at("<QQ", self.foot, field); end, frames = offset + n, []
        while offset < end: data, offset = self.frame(offset); frames.append(data)
        return frames
    def chunk(self, number):
        if self.table is None: self.table = b"".join(self.section(24))
        if number not in self.chunks:
            while len(self.chunks) > 8: del self.chunks[next(iter(self.chunks))]
            self.chunks[number] = self.frame(at("<Q", self.table, 24 * number)[0])[0]
        return self.chunks[number]
class Bytes:
    def __init__(self, b): self.b, self.i = b, 0
    def take(self, n): self.i += n; return self.b[self.i - n:self.i]
    def byte(self): return self.take(1)[0]
    def number(self):
        n, shift = self.byte(), 0
        while n >> shift > 127: shift += 7; n += (self.byte() - 1) << shift
        return n
    def signed(self): n = self.number(); return -(n + 1) // 2 if n & 1 else n // 2
def records(page):
    r, path, second = Bytes(page), b"", 10 ** 9
    inode = mtime = pack = chunk = end = 0; device = {3: 0, 6: 0}  # 6: upper half of the inode's number
    held = [[{1: 0o755, 2: 0o777}.get(kind, 0o644)] + 7 * [0] for kind in range(7)]
    while r.i < len(page):
        e = SimpleNamespace(); head = r.byte(); more = r.byte() if head & 128 else 0; e.kind = more & 7
        kept, added = r.number(), r.number(); e.path = path = path[:kept] + r.take(added)
        mask = r.byte() if head & 64 else 0
        for bit in (bit for bit in range(8) if mask >> bit & 1):
            (device if bit in (3, 6) else held[e.kind])[bit] = r.number()
        e.mode, e.uid, e.gid = held[e.kind][:3]; e.special = held[e.kind][7]; held[e.kind][7] = 0
        e.links = r.number() if more & 8 else 1; size = r.number(); inode = (inode + r.signed()) & 0xffffffff
        e.inode = (*device.values(), inode); how = head >> 2 & 3
        if how == 3: mtime += r.signed()
        elif how: mtime = (mtime // second + r.signed()) * second + (at("<I", r.take(4))[0] if how == 2 else 0)
        if head >> 4 & 3: r.signed(); r.take(4 if head >> 4 & 3 == 2 else 0)  # ctime
        e.mtime = mtime; e.text = r.take(r.number()) if more & 16 else b""
        e.xattrs = Bytes(r.take(r.number()) if more & 32 else b""); e.spans = []; how = head & 3; rest = size
        if how == 2: chunk += r.signed(); end = 0
        if how in (1, 2): e.spans = [(pack, chunk, end + 8, size)]; end += 8 + size
        for _ in range(r.number() if how == 3 else 0):
            head = r.byte(); place = head & 7
            if place == 4: pack += r.signed(); chunk += r.signed(); end = r.number()
            else: chunk, end = (chunk + 1, 8) if place == 3 else (chunk, end + 8 * (place == 1))
            n = 262144 if head & 16 else rest if head & 8 else r.number(); rest -= n
            e.spans.append((pack if place else 0, chunk, end, n)); end += n if place else 0
        e.sha = r.take(32) if how else None; r.take(8 * r.number() if more & 64 else 0); e.size = size
        yield e

class Store:
    def __init__(self, path):
        self.path, self.opened = path, {}
        self.numbers = sorted(int(n[:-7]) for n in os.listdir(f"{path}/backups") if n.endswith(".backup"))
    def archive(self, number):
        paths = [f"{self.path}/{place}/{number:010}.backup" for place in ("packs", "backups")]
        if number not in self.opened: self.opened[number] = Archive(paths[os.path.exists(paths[1])])
        return self.opened[number]
    def entries(self, number):
        a = self.archive(number); parts = [a.section(24), a.section(40), a.section(56)]
        if hashlib.sha256(b"".join([a.block] + sum(parts, []))).digest() != a.foot[136:168]:
            complain(f"backup {number}: its root hash does not fit".encode(), "go on with care")
        pages = []
        for r in map(Bytes, parts[1]):
            if r.byte() < 5 and r.number() == 0: pages.append([r.b[0], b""])
            pages[-1][1] += r.b[r.i:]
        base, result = iter(self.entries(a.header["indexBase"]) if a.header["indexBase"] else []), []
        for kind, page in pages:
            if kind == 1: result += records(page)
            if kind != 3: continue
            r = Bytes(page); ops = Bytes(r.take(r.number())); own = records(page[r.i:])
            while ops.i < len(ops.b):
                n, op = divmod(ops.number(), 4); taken = [next(own if op == 2 else base) for _ in range(n)]
                result += taken if op != 1 else []
        return result

complaints = []
def complain(path, why): complaints.append(path); print(os.fsdecode(path), why, sep=": ", file=sys.stderr)
def write(store, e, path):
    sha = hashlib.sha256()
    with open(path, "xb") as f:
        for pack, chunk, offset, n in e.spans:
            for start in range(0, n, 1 << 20) if pack == 0 else (): sha.update(bytes(min(1 << 20, n - start)))
            if pack == 0: f.seek(n, 1); continue
            data = store.archive(pack).chunk(chunk)[offset:offset + n]; sha.update(data); f.write(data)
        f.truncate(e.size)
    if e.sha is not None and sha.digest() != e.sha: os.unlink(path); raise ValueError("it is damaged")
def attributes(e, path):
    if os.geteuid() == 0: os.chown(path, e.uid, e.gid, follow_symlinks=False)
    if e.kind != 2: os.chmod(path, e.mode)
    while e.xattrs.i < len(e.xattrs.b):
        name = e.xattrs.take(at("<H", e.xattrs.take(2))[0]); value = e.xattrs.take(at("<I", e.xattrs.take(4))[0])
        os.setxattr(path, name, value, follow_symlinks=False)
    os.utime(path, ns=(e.mtime, e.mtime), follow_symlinks=False)
def restore(store, number, dest):
    roots = [r.encode() if isinstance(r, str) else base64.b64decode(r["b64"])
             for r in store.archive(number).header["roots"]]
    top, names, later = len(roots[0].strip(b"/")) if len(roots) == 1 else 0, {}, []
    for e in store.entries(number):
        path = os.path.join(dest, e.path[top:].lstrip(b"/")) if e.path[top:] else dest
        try:
            if b".." in e.path.split(b"/"): raise ValueError("no such path")
            os.makedirs(path if e.kind == 1 else os.path.dirname(path), exist_ok=True)
            if e.links > 1 and e.inode in names: os.link(names[e.inode], path, follow_symlinks=False); continue
            if e.kind == 0: write(store, e, path)
            elif e.kind == 1: later.append((e, path)); continue
            elif e.kind == 2: os.symlink(e.text, path)
            else: os.mknod(path, (0o010000, 0o140000, 0o020000, 0o060000)[e.kind - 3] | e.mode,
                           os.makedev(e.special >> 20, e.special & 0xfffff))
            names[e.inode] = path; attributes(e, path)
        except Exception as why: complain(path, why)
    for e, path in reversed(later):
        try: attributes(e, path)
        except Exception as why: complain(path, why)

if len(sys.argv) not in (2, 4) or sys.argv[1].startswith("-"): sys.exit(__doc__)
store = Store(sys.argv[1])
if len(sys.argv) == 2:
    for n in store.numbers:
        h = store.archive(n).header; print(n, h["level"], h["startedAt"], h["computer"], *h["roots"])
else:
    dest = os.fsencode(sys.argv[3]); os.makedirs(dest, exist_ok=True)
    if os.listdir(dest): sys.exit("DEST is not empty")
    restore(store, store.numbers[-1] if sys.argv[2] == "latest" else int(sys.argv[2]), dest)
    sys.exit(len(complaints) > 0)
