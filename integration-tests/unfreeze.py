"""Makes a Debian ``python3.11`` import ``site`` from ``site.py`` instead of from the interpreter itself.

CPython 3.11 has the modules that it needs at its start compiled in ("frozen"). Debian's ``site`` is one of them,
and knows ``dist-packages`` where a conda environment has ``site-packages``. The table of these modules is an array
of ``struct _frozen`` (``Include/cpython/import.h``); an entry whose name is another one is never found, and the
import falls back to the file.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_EXECUTABLE = 2  # ET_EXEC: addresses in its data are final, no relocation has to be read
_ENTRY = struct.Struct("<QQiiQ")  # const char *name, *code; int size, is_package; PyObject *(*get_code)(void)


class Section(NamedTuple):
    """Where a part of the program is: its address at run time, its offset in the file, its size in bytes."""

    address: int
    offset: int
    size: int

    def holds(self, address: int) -> bool:
        return self.address <= address < self.address + self.size


def unfreeze(program: bytes, module: str = "site") -> bytes:
    """The program with the frozen ``module`` renamed to the rest of its name (``site`` to ``ite``).

    Raises:
        ValueError: not a 64-bit little-endian ELF file with fixed addresses, or not exactly one such entry.
    """
    if program[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", program, 16)[0] != _EXECUTABLE:
        raise ValueError("not a 64-bit little-endian ELF program with fixed addresses (ET_EXEC)")
    sections = _sections(program)
    constants, code = sections[".rodata"], sections[".text"]
    wanted = module.encode() + b"\0"
    found = []
    for position in range(constants.offset, constants.offset + constants.size - _ENTRY.size, 8):
        name, frozen, size, is_package, get_code = _ENTRY.unpack_from(program, position)
        if frozen or size or is_package or not code.holds(get_code) or not constants.holds(name):
            continue
        if program.startswith(wanted, constants.offset + name - constants.address):
            found.append((position, name))
    if len(found) != 1:
        raise ValueError(f"{len(found)} entries for a frozen module {module}, not one")
    changed = bytearray(program)
    position, name = found[0]
    struct.pack_into("<Q", changed, position, name + 1)
    return bytes(changed)


def _sections(program: bytes) -> dict[str, Section]:
    """The sections of an ELF file by their names (``man 5 elf``: Elf64_Ehdr, Elf64_Shdr)."""
    (start,) = struct.unpack_from("<Q", program, 40)
    size, count, of_names = struct.unpack_from("<HHH", program, 58)
    headers = [struct.unpack_from("<IIQQQQ", program, start + number * size) for number in range(count)]
    names = headers[of_names][4]
    found = {}
    for header in headers:
        begin = names + header[0]
        name = program[begin : program.index(b"\0", begin)].decode()
        found[name] = Section(header[3], header[4], header[5])
    return found
