"""Memory that runs out on purpose in a process: see failing.c."""
import mmap
import os
import struct
import tempfile

FIELDS = struct.Struct("<qqqq")


class Failing:
    """What is shared with the processes that are started with `env`."""

    def __init__(self, build):
        path = tempfile.mktemp(prefix="pkfailing")
        with open(path, "wb") as f:
            f.write(FIELDS.pack(-1, 0, 0, 0) + bytes(104))
        self.env = {"LD_PRELOAD": os.path.abspath(os.path.join(build, "failing.so")), "PK_FAILING": path}
        self.open(path)

    def open(self, path):
        with open(path, "r+b") as f:
            self.shared = mmap.mmap(f.fileno(), FIELDS.size + 104)
        return self

    def begin(self, files, left, every=0, pid=0):
        """Of what `files` ask for (in one process), all behind the next `left` fails once, or again and again."""
        self.shared[FIELDS.size:] = files.encode().ljust(104, b"\0")
        self.shared[:FIELDS.size] = FIELDS.pack(left, every, 0, pid)

    def end(self):
        """How many failed."""
        failed = FIELDS.unpack(self.shared[:FIELDS.size])[2]
        self.shared[:FIELDS.size] = FIELDS.pack(-1, 0, failed, 0)
        return failed
