"""A machine's disk: a writable layer over a base, on a file system of its own.

It is ext4 in one sparse file on a loop device, as on a server, for three reasons. Its power can fail in earnest
(``stop``). Removing it removes one file. And it is a fresh one: on a host whose ext4 has no journal, making a file
looks at every inode that was removed in the last minutes (``recently_deleted`` in Linux's fs/ext4/ialloc.c), so
that an install takes two or three times as long there after a machine was dropped.

Where the host lends no loop device (in a container, or in such a machine), the layer is a folder of the host's
file system; where an overlay can't lie on that, the base is copied.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from pathlib import Path

import debian

SIZE = 24 << 30  # bytes; what is not used takes no room
LOOP = Path("/dev/loop-control")
SHUTDOWN, WITHOUT_LOG = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH of <linux/ext4.h>


class Disk:
    """The disk of one machine.

    Args:
        folder: The machine's own folder on the host.
        suite: The Debian release of its base.

    Attributes:
        root: Where all of it is seen on the host, while it is mounted.
    """

    def __init__(self, folder: Path, suite: str) -> None:
        self.suite = suite
        self.root = folder / "root"
        self._image = folder / "disk.ext4"
        self._layer = folder / "disk"
        self._is_copy = folder / "copied"

    def make(self) -> None:
        """A fresh one, mounted."""
        for place in (self.root, self._layer):
            place.mkdir(parents=True)
        if LOOP.exists():
            make_image(self._image, SIZE)
            if not self._mount_image():
                self._image.unlink()
        if not self.mount():
            # an overlay can't be the upper layer of another: the copy costs a second or two and works anywhere
            base = debian.base(self.suite)
            subprocess.run(["cp", "-a", "--reflink=auto", f"{base}/.", str(self.root)], check=True)
            self._is_copy.touch()

    def mount(self) -> bool:
        """Have it at ``root``; whether it is there."""
        if self._is_copy.exists() or self.root.is_mount():
            return True
        if self._image.exists() and not self._layer.is_mount() and not self._mount_image():
            return False
        for name in ("upper", "work"):
            (self._layer / name).mkdir(exist_ok=True)
        layers = f"lowerdir={debian.base(self.suite)},upperdir={self._layer}/upper,workdir={self._layer}/work"
        return _ends_well("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))

    def _mount_image(self) -> bool:
        return _ends_well("mount", "-o", "loop", str(self._image), str(self._layer))

    def unmount(self) -> None:
        """Put it away; whoever used it has ended or is about to.

        Raises:
            RuntimeError: something goes on using it.
        """
        deadline = time.monotonic() + 20
        for place in (self.root, self._layer):
            while place.is_mount():
                done = subprocess.run(["umount", str(place)], capture_output=True, text=True, check=False)
                if done.returncode and time.monotonic() > deadline:
                    raise RuntimeError(f"{place} stays in use: {done.stderr}")
                time.sleep(0.05 if done.returncode else 0)
        # a machine that boots now has a copy of every mount; mounted again, this one would still be without power
        while self._image.exists() and self._is_lent() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _is_lent(self) -> bool:
        """Whether the image still has a loop device."""
        words = ["losetup", "--associated", str(self._image)]
        return bool(subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip())

    def stop(self) -> None:
        """No power: from now on nothing reaches it, and what nobody has synced is lost, as if it had no journal.

        Where it has no file system of its own, nothing is lost.
        """
        if not self._layer.is_mount():
            return
        handle = os.open(self._layer, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", WITHOUT_LOG))
        finally:
            os.close(handle)


def make_image(path: Path, size: int) -> None:
    """An empty ext4 of so many bytes in a sparse file; nothing of it is kept for root, so that it can be full."""
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1", str(path)], check=True)


def _ends_well(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
