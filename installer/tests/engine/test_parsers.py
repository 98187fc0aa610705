"""The parsers, on what real machines said (``recorded/``: Debian 12 with a hub, kernel 6, systemd 252)."""

from __future__ import annotations

import pytest
from fakes import recorded
from hypothesis import given
from hypothesis import strategies as st
from tljh.engine import parsers
from tljh.engine.parsers import Account


@pytest.fixture(scope="module")
def packages() -> parsers.Packages:
    return parsers.parse_dpkg_status(recorded("engine/dpkg-status"))


def test_installed_packages(packages: parsers.Packages) -> None:
    assert set(packages.installed) == {"adduser", "git", "libc6", "mawk", "sudo", "tljh-requirements"}
    assert packages.version("git") == "1:2.39.5-0+deb12u3"
    assert packages.installed["tljh-requirements"].depends == "git, sudo, hello"
    assert packages.version("hello") is None


def test_what_was_removed_but_for_its_configuration_is_not_installed(packages: parsers.Packages) -> None:
    assert "Package: cowbell\nStatus: deinstall ok config-files" in recorded("engine/dpkg-status")
    assert packages.version("cowbell") is None
    assert packages.version("percussion") is None


def test_virtual_packages(packages: parsers.Packages) -> None:
    assert packages.version("awk") == "provided"
    assert {"git-completion", "git-core"} <= packages.provided


def test_versioned_provides() -> None:
    text = (
        "Package: apt\nStatus: install ok installed\nVersion: 2.6.1\nProvides: apt-transport-https (= 2.6.1), x\n"
    )
    assert parsers.parse_dpkg_status(text).provided == {"apt-transport-https", "x"}


def test_a_package_on_hold_is_installed() -> None:
    held = "Package: git\nStatus: hold ok installed\nVersion: 1\n\n"
    begun = "Package: hg\nStatus: install ok unpacked\nVersion: 1\n"
    found = parsers.parse_dpkg_status(held + begun)
    assert found.version("git") == "1"
    assert found.version("hg") is None


def test_a_package_of_this_machines_architecture(packages: parsers.Packages) -> None:
    assert packages.version("libc6:amd64") == "2.36-9+deb12u14"


def test_a_package_of_another_architecture_is_another_package(packages: parsers.Packages) -> None:
    assert packages.version("libc6:i386") is None


def test_no_status_at_all() -> None:
    assert parsers.parse_dpkg_status("") == parsers.Packages({}, frozenset(), {})


def test_accounts() -> None:
    accounts = parsers.parse_passwd(recorded("engine/passwd"))
    assert accounts["root"] == Account("root", 0, 0, "/root")
    assert accounts["jupyter-admin"] == Account("jupyter-admin", 1000, 1002, "/home/jupyter-admin")
    assert len(accounts) == recorded("engine/passwd").count("\n")


def test_a_line_of_another_name_service_is_no_account() -> None:
    # "compat" in nsswitch.conf(5); such a line has no numbers
    assert set(parsers.parse_passwd("root:x:0:0:root:/root:/bin/bash\n+::::::\n# no colons\n")) == {"root"}


def test_groups() -> None:
    groups = parsers.parse_group(recorded("engine/group"))
    assert groups["jupyterhub-admins"] == groups["jupyterhub-users"] == {"jupyter-admin"}
    assert groups["sudo"] == frozenset()
    assert parsers.parse_group("a:x:1:b,c\n")["a"] == {"b", "c"}


def test_units() -> None:
    units = parsers.parse_systemctl_show(recorded("engine/systemctl-show"))
    assert [unit["Id"] for unit in units] == [
        "jupyterhub.service",
        "traefik.service",
        "cron.service",
        "systemd-journald.service",
        "getty@tty1.service",
    ]
    assert units[0] == {
        "Id": "jupyterhub.service",
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
        "UnitFileState": "enabled",
    }
    assert units[2]["LoadState"] == "not-found"
    assert units[2]["UnitFileState"] == ""


def test_a_value_with_an_equals_sign() -> None:
    assert parsers.parse_systemctl_show("Environment=A=1 B=2\n") == [{"Environment": "A=1 B=2"}]


def test_listening_ports() -> None:
    assert parsers.parse_proc_net_tcp(recorded("engine/proc-net-tcp")) == {
        8994: 129671,
        15993: 130716,
        15001: 124103,
        2024: 1076,
        8099: 122370,
    }
    found = parsers.parse_proc_net_tcp(recorded("engine/proc-net-tcp6"))
    assert found[80] == 122377
    assert found[8993] == 129668


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("jupyterhub-5.2.1.dist-info", ("jupyterhub", "5.2.1")),
        ("ruamel.yaml-0.18.6.dist-info", ("ruamel-yaml", "0.18.6")),
        ("The_Littlest_JupyterHub-2.0.0.dev1+local.dist-info", ("the-littlest-jupyterhub", "2.0.0.dev1+local")),
        ("~upyterhub-5.2.1.dist-info", None),  # what a killed pip leaves behind
        ("pip.dist-info", None),
        ("pip-25.0.egg-info", None),
        ("dist-info", None),
    ],
)
def test_distribution_folders(folder: str, found: tuple[str, str] | None) -> None:
    assert parsers.parse_distribution_folder(folder) == found


@given(st.text("aZ9-_.", min_size=1, max_size=12))
def test_a_canonical_name_stays_as_it_is(name: str) -> None:
    once = parsers.canonical_name(name)
    assert parsers.canonical_name(once) == once
    assert not set(once) & set("_.Z")


@given(st.text(max_size=200))
def test_parsers_take_any_text(text: str) -> None:
    parsers.parse_dpkg_status(text)
    parsers.parse_group(text)
    parsers.parse_systemctl_show(text)
