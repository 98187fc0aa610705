"""A lock that speaks of the files of a bundle."""

from __future__ import annotations

from tljh.resources.locks import lock_file
from tljh.resources.locks.bundle_lock import with_files

A, B, C = "a" * 64, "b" * 64, "c" * 64
TEXT = f"""\
# Written by somebody
version: 1
metadata:
  content_hash:
    linux-64: 00
  channels: []
  platforms:
  - linux-64
  custom_metadata:
    tljh: '{{"linux-64": {{"python": "3.11"}}}}'
package:
- name: plain
  version: '1.0'
  manager: pip
  platform: linux-64
  dependencies: {{}}
  url: https://index/plain-1.0-py3-none-any.whl
  hash:
    sha256: {A}
- name: Built.Here
  version: '2.0'
  manager: pip
  platform: linux-64
  dependencies: {{}}
  url: https://index/built.here-2.0.tar.gz
  hash:
    sha256: {B}
- name: direct
  version: '3.0'
  manager: pip
  platform: linux-64
  dependencies: {{}}
  url: https://elsewhere/direct-3.0-py3-none-any.whl
  hash:
    sha256: {C}
  source:
    type: url
    url: https://elsewhere/direct-3.0-py3-none-any.whl
- name: direct
  version: '9'
  manager: conda
  platform: linux-64
  dependencies: {{}}
  url: https://channel/linux-64/direct-9-h0_0.conda
  hash:
    md5: 00
    sha256: {B}
"""


def lines(text: str) -> list[str]:
    return lock_file.parse(text, "the lock").part("linux-64", "the lock").lines


def test_what_was_built_or_came_from_an_address_is_looked_up_by_its_name() -> None:
    assert lines(TEXT)[1] == f"direct @ https://elsewhere/direct-3.0-py3-none-any.whl --hash=sha256:{C}"
    text = with_files(TEXT, {"plain": A, "built-here": "d" * 64, "direct": C})
    assert lines(text) == [
        f"built-here==2.0 --hash=sha256:{'d' * 64}",
        f"direct==3.0 --hash=sha256:{C}",
        f"plain==1.0 --hash=sha256:{A}",
    ]


def test_the_rest_of_the_lock_stays() -> None:
    before = lock_file.parse(TEXT, "x").part("linux-64", "x")
    after = lock_file.parse(with_files(TEXT, {"built-here": "d" * 64}), "x").part("linux-64", "x")
    assert (after.conda, after.python) == (before.conda, "3.11")
    assert with_files(TEXT, {"built-here": "d" * 64}).startswith("# Written by somebody\n")


def test_a_lock_of_plain_wheels_stays_to_the_byte() -> None:
    text = TEXT.replace("  source:\n    type: url\n    url: https://elsewhere/direct-3.0-py3-none-any.whl\n", "")
    assert with_files(text, {"plain": A, "built-here": B, "direct": C}) == text
