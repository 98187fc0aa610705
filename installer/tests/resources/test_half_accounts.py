"""What a killed useradd leaves: removed where it is half there, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeMachine
from tljh.resources.half_accounts import remove_half_accounts

PASSWD = "root:x:0:0:root:/root:/bin/bash\nbot:x:998:997::/nonexistent:/usr/sbin/nologin\n"
SHADOW, GROUP, GSHADOW = "root:*:1::::::\nbot:!:1::::::\n", "root:x:0:\nbot:x:997:\n", "root:*::\nbot:!::\n"


def machine(tmp_path: Path, **files: str) -> FakeMachine:
    made = FakeMachine(tmp_path)
    whole = {"passwd": PASSWD, "shadow": SHADOW, "group": GROUP, "gshadow": GSHADOW}
    for name, text in {**whole, **files}.items():
        made.put(f"/etc/{name}", text)
    return made


@pytest.mark.parametrize(
    ("files", "removed"),
    [
        ({}, []),
        ({"shadow": "root:*:1::::::\n", "group": "root:x:0:\n", "gshadow": "root:*::\n"}, ["userdel bot"]),
        ({"group": "root:x:0:\n", "gshadow": "root:*::\n"}, ["userdel bot"]),
        ({"gshadow": "root:*::\n"}, ["userdel bot"]),
        ({"passwd": "root:x:0:0:root:/root:/bin/bash\n"}, []),
    ],
    ids=["whole", "no password", "no group", "no password of the group", "not there"],
)
def test_half_there(tmp_path: Path, files: dict[str, str], removed: list[str]) -> None:
    found = machine(tmp_path, **files)
    assert remove_half_accounts(found, ["bot"], ["bot"]) == [line.split()[1] for line in removed]
    assert found.commands == removed


NOBODY = "root:x:0:0:root:/root:/bin/bash\n"


@pytest.mark.parametrize(
    ("passwd", "removed"),
    [(PASSWD, ["userdel bot"]), (NOBODY, ["groupdel bot"])],
    ids=["made with it", "made before it"],
)
def test_the_own_group_of_an_account_is_half_there(tmp_path: Path, passwd: str, removed: list[str]) -> None:
    found = machine(tmp_path, passwd=passwd, gshadow="root:*::\n")
    assert remove_half_accounts(found, ["bot"], []) == ["bot"]
    assert found.commands == removed


def test_what_was_not_being_made_is_nobodys_business(tmp_path: Path) -> None:
    found = machine(tmp_path, shadow="root:*:1::::::\n")
    assert remove_half_accounts(found, ["other"], []) == []
    assert found.commands == []


def test_a_system_without_passwords_of_groups(tmp_path: Path) -> None:
    found = machine(tmp_path)
    (tmp_path / "etc/gshadow").unlink()
    assert remove_half_accounts(found, [], ["bot"]) == []
