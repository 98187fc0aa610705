"""Becomes a machine's ``sitecustomize``: ends the one process that it is told of at the n-th step or moment.

Debian's interpreter reads ``/etc/python3.11/sitecustomize.py`` at each start, also in environments. A step is a
transaction of the state database: just before it is written, and at whatever comes next. Moments are the steps
and, besides, every change that Python makes to the machine: files, folders, links, programs, locks (audit events).
The count goes on when the process becomes another program.

``CRASH_PID`` is the process, ``CRASH_AT`` says ``number:step|moment:all|alone|power``.
"""

import os

if os.environ.get("CRASH_PID") == str(os.getpid()):
    import atexit
    import contextlib
    import sqlite3
    import sys
    import time

    CHANGES = {
        *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.chown"),
        *("shutil.rmtree", "subprocess.Popen", "os.exec", "fcntl.flock"),
    }
    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def below(pid):
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:  # noqa: PTH123
                if int(file.read().rpartition(")")[2].split()[1]) == pid:
                    found += [int(name), *below(int(name))]
        return found

    def write(path, text):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(handle, text.encode())
        os.close(handle)

    class Counting:
        """Counts, and ends it all when the count is reached."""

        def __init__(self):
            wanted, self.kind, self.how = os.environ["CRASH_AT"].split(":")
            self.wanted = int(wanted)
            self.busy = self.after = False
            self.removed = 0
            self.seen = {"step": 0, "moment": 0}
            with contextlib.suppress(OSError, ValueError), open("/run/crash-seen") as file:  # noqa: PTH123
                self.seen = dict(zip(self.seen, map(int, file.read().split()), strict=True))

        def save(self):
            write("/run/crash-seen", "{step} {moment}".format(**self.seen))

        def moment(self, what, kinds=("moment",)):
            self.busy = True
            try:
                for kind in kinds:
                    self.seen[kind] += 1
                if what.startswith("os.exec") or self.seen["moment"] % 20 == 0:
                    self.save()
                if self.kind in kinds and self.seen[self.kind] == self.wanted:
                    write("/run/crash-said", what)
                    self.end()
            finally:
                self.busy = False

        def step(self, what):
            self.moment(what, ("step", "moment"))

        def end(self):
            if self.how == "power":
                write("/run/crash-now", "")
                time.sleep(600)
            for pid in below(os.getpid()) if self.how == "all" else ():
                with contextlib.suppress(OSError):
                    os.kill(pid, 9)
            os.kill(os.getpid(), 9)

        def statement(self, text):
            if self.busy:
                return
            if text.strip().lower().startswith("commit"):
                self.step("before a transaction is written")
                self.after = True
            elif self.after:
                self.after = False
                self.step(f"after a transaction: {text[:60]}")

        def is_one_of_many(self, name, arguments):
            """Of the thousands of files of a folder that is removed, all but each hundredth."""
            if name not in ("os.remove", "os.rmdir") or arguments[1] == -1:
                return False
            self.removed += 1
            return self.removed % 100 != 0

        def event(self, name, arguments):
            if self.busy:
                return
            opens = name == "open" and isinstance(arguments[2], int)
            writes = name in CHANGES or (opens and arguments[2] & WRITING)
            if writes and str(arguments[0]).startswith("/run/crash"):
                return
            if self.after and (writes or opens):
                self.after = False
                self.step(f"after a transaction: {name} {arguments[0]}")
            elif writes and not self.is_one_of_many(name, arguments):
                self.moment(f"{name} {arguments[:2]}"[:200])

    counting = Counting()
    connect = sqlite3.connect

    def traced(*arguments, **options):
        counting.after = False
        made = connect(*arguments, **options)
        made.set_trace_callback(counting.statement)
        return made

    sqlite3.connect = sqlite3.dbapi2.connect = traced
    sys.addaudithook(counting.event)
    atexit.register(counting.save)
