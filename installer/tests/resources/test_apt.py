"""The system's packages: specs, the metapackage, and what is said when apt can't."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeMachine, recorded, store_in_memory
from tljh.engine.apply import Applier
from tljh.engine.facts import Facts
from tljh.engine.plan import Plan, make_plan
from tljh.engine.processes import Completed
from tljh.engine.resource import Diff
from tljh.errors import CommandFailed, TljhError
from tljh.resources.apt import METAPACKAGE, AptPackages, AptSpec

KNOWN = "git:\n  Installed: (none)\n  Candidate: 1:2.39.5-0+deb12u3\n"


def quiet(text: str) -> None:
    pass


def packages(**wanted: str) -> AptPackages:
    return AptPackages.of({name.replace("__", "="): whose for name, whose in wanted.items()}, quiet)


def specs(*texts: str) -> AptPackages:
    return AptPackages.of(dict.fromkeys(texts, "core"), quiet)


class AptMachine(FakeMachine):
    """A Debian of which only dpkg's status file is real; apt changes that.

    Args:
        needed: Package → what can't be without it.
    """

    def __init__(self, root: Path, needed: dict[str, list[str]] | None = None) -> None:
        super().__init__(root)
        self.needed = needed or {}
        self.installed: dict[str, str] = {}
        self.control = ""
        self.answers = {
            "dpkg-deb": self._build,
            "apt-get": self._apt,
            "apt-get -s remove": self._simulated,
            "apt-cache policy": lambda words: "".join(
                f"{n}:\n  Installed: x\n  Candidate: 1\n" for n in words[2:]
            ),
        }
        self._write()

    def _build(self, words: list[str]) -> str:
        self.control = (Path(words[-2]) / "DEBIAN/control").read_text()
        return ""

    def _apt(self, words: list[str]) -> str:
        if "install" in words:
            fields = dict(re.findall(r"^(\w+): (.*)$", self.control, re.M))
            for name in fields["Depends"].split(", "):
                self.installed.setdefault(name.split()[0], "1")
            self.installed[METAPACKAGE] = fields["Version"]
        elif "remove" in words:
            self.installed.pop(words[-1])
        self._write()
        return ""

    def _simulated(self, words: list[str]) -> str:
        return "".join(f"Remv {name} [1]\n" for name in [*self.needed.get(words[-1], []), words[-1]])

    def _write(self) -> None:
        status = "".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n"
            for name, version in self.installed.items()
        )
        self.put("/var/lib/dpkg/status", status)


# ---- specs


@pytest.mark.parametrize(
    ("text", "name", "version", "release", "depends"),
    [
        ("git", "git", "", "", "git"),
        ("g++", "g++", "", "", "g++"),
        ("libc6:i386", "libc6:i386", "", "", "libc6:i386"),
        ("python3.11=3.11.2-6+deb12u4", "python3.11", "3.11.2-6+deb12u4", "", "python3.11 (= 3.11.2-6+deb12u4)"),
        ("git=1:2.39.5-0+deb12u3", "git", "1:2.39.5-0+deb12u3", "", "git (= 1:2.39.5-0+deb12u3)"),
        ("git/bookworm-backports", "git", "", "bookworm-backports", "git"),
    ],
)
def test_specs(text: str, name: str, version: str, release: str, depends: str) -> None:
    found = AptSpec.parse(text, "core")
    assert (found.name, found.version, found.release, found.depends) == (name, version, release, depends)


@pytest.mark.parametrize("text", ["", "a", "Git", "git vim", "git=", "git/", "-y", "git; rm", "git>=2", "git\n"])
def test_what_is_no_spec(text: str) -> None:
    with pytest.raises(TljhError) as caught:
        AptPackages.of({"vim": "core", text: "tljh-x"}, quiet)
    assert str(caught.value) == (
        f"tljh-x: {text!r} is not the name of an apt package\n  → write name, name=version or name/release"
    )


# ---- what is wanted and what is there


def test_a_machine_that_has_it_all(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.put("/var/lib/dpkg/status", recorded("engine/dpkg-status"))
    found = specs("git", "sudo").observe(Facts(machine))
    assert found == {"git": "installed", "sudo": "installed", METAPACKAGE: "1+274265779927014"}


def test_what_the_real_metapackage_was_made_of() -> None:
    # the version in recorded/dpkg-status stands for its Depends there: it must not move between releases of ours,
    # or every machine would run apt once for nothing
    assert specs("git", "sudo", "hello").desired()[METAPACKAGE] == "1+274265779927014"


def test_a_virtual_package_is_there_when_something_provides_it(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.put("/var/lib/dpkg/status", recorded("engine/dpkg-status"))
    assert specs("awk").observe(Facts(machine))["awk"] == specs("awk").desired()["awk"] == "installed"


def test_a_pin_is_compared_with_the_version(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.put("/var/lib/dpkg/status", recorded("engine/dpkg-status"))
    facts = Facts(machine)
    right, wrong = specs("git=1:2.39.5-0+deb12u3"), specs("git=1:2.40-1")
    assert right.observe(facts)["git"] == right.desired()["git"]
    assert (wrong.observe(facts)["git"], wrong.desired()["git"]) == ("1:2.39.5-0+deb12u3", "1:2.40-1")


def test_the_metapackage_changes_with_what_it_depends_on() -> None:
    versions = {
        specs(*texts).desired()[METAPACKAGE] for texts in (["git"], ["git", "sl"], ["git=1"], ["git=2"], ["sl"])
    }
    assert len(versions) == 5
    assert specs("git", "sl").desired() == specs("sl", "git").desired()


def test_another_release_is_something_else() -> None:
    assert specs("git").desired() != specs("git/bookworm-backports").desired()


def test_nothing_wanted_is_nothing_desired() -> None:
    assert specs().desired() == {}


def test_a_package_is_wanted_twice_once_with_its_version(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path)
    machine.put("/var/lib/dpkg/status", recorded("engine/dpkg-status"))
    for both in (specs("git", "git=1:2.39.5-0+deb12u3"), specs("git=1:2.39.5-0+deb12u3", "git")):
        assert both.observe(Facts(machine))["git"] == both.desired()["git"] == "1:2.39.5-0+deb12u3"


# ---- what is done


def test_install(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    wanted = packages(sl__5="tljh-x")
    wanted.change(Diff({}, wanted.desired(), {}), machine)
    assert "Depends: sl (= 5)\n" in machine.control
    assert f"Package: {METAPACKAGE}\nVersion: {wanted.desired()[METAPACKAGE]}\n" in machine.control
    build, policy, install = machine.commands
    assert build.startswith("dpkg-deb --root-owner-group --build ")
    assert policy == "apt-cache policy sl"
    assert re.fullmatch(
        r"apt-get -y -q -o DPkg::Lock::Timeout=600 .*--force-confold --no-remove --allow-downgrades"
        rf" install --fix-broken /\S+/{METAPACKAGE}.deb",
        install,
    )
    assert machine.options[-1]["env"]["DEBIAN_FRONTEND"] == "noninteractive"


def test_what_is_recommended_comes_with_plugins_packages_only(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    wanted = packages(git="core", sl="tljh-x")
    wanted.change(Diff({}, wanted.desired(), {}), machine)
    ours, everything = machine.ran("apt-get")
    assert "--no-install-recommends" in ours
    assert "--no-install-recommends" not in everything
    assert "Depends: git, sl\n" in machine.control, "the last one says it all"
    machine.commands.clear()
    wanted.change(Diff({"git": "installed"}, {"sl": "installed"}, {}), machine)
    (only,) = machine.ran("apt-get")
    assert "--no-install-recommends" not in only


def test_the_lists_are_read_where_a_package_is_not_known(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    machine.answers["apt-cache policy"] = KNOWN
    wanted = specs("git")
    wanted.change(Diff({}, wanted.desired(), {}), machine)
    assert not [command for command in machine.commands if command.endswith(" update")]
    for answer in ("", KNOWN.replace("1:2.39.5-0+deb12u3", "(none)"), KNOWN.replace("git:", "git-man:")):
        machine.answers["apt-cache policy"] = answer
        machine.commands.clear()
        wanted.change(Diff({}, wanted.desired(), {}), machine)
        assert machine.ran("apt-get")[0].split()[-1] == "update"


def test_a_release_is_named_and_marked(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    wanted = specs("git/bookworm-backports", "sl")
    wanted.change(Diff({}, wanted.desired(), {}), machine)
    assert re.search(rf" install .*git/bookworm-backports \S+{METAPACKAGE}\.deb$", machine.commands[-2])
    assert machine.commands[-1] == "apt-mark auto git"


def test_apt_fails(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    said = " tljh-requirements : Depends: at but it is not installable\nE: Unable to correct problems"
    machine.answers["apt-get"] = Completed(100, "", said)
    wanted = packages(at="tljh-x", sl="tljh-y")
    with pytest.raises(TljhError) as caught:
        wanted.change(Diff({}, wanted.desired(), {}), machine)
    text = str(caught.value)
    assert text.startswith("apt could not install at (asked for by tljh-x)\n")
    assert "Depends: at but it is not installable" in text
    assert "remove what asks for it, then run the same command again" in text


def test_nobody_is_blamed_for_a_word_that_apt_uses(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    machine.answers["apt-get"] = Completed(100, "", "E: Unable to locate package sl\nE: that is not digital")
    wanted = packages(at="tljh-x", git="core", sl="tljh-y")
    with pytest.raises(TljhError, match=r"^apt could not install sl \(asked for by tljh-y\)\n"):
        wanted.change(Diff({}, wanted.desired(), {}), machine)


def test_apt_fails_for_another_reason(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    machine.answers["apt-get"] = Completed(100, "", "E: Something that nobody has heard of")
    with pytest.raises(TljhError, match=r"^apt could not install the packages wanted\n"):
        specs("hello").change(Diff({}, {"hello": "installed"}, {}), machine)


def test_apt_fails_for_a_reason_outside(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    machine.answers["apt-get"] = Completed(
        100, "", "E: You don't have enough free space in /var/cache/apt/archives/."
    )
    with pytest.raises(TljhError) as caught:
        specs("hello").change(Diff({}, {"hello": "installed"}, {}), machine)
    assert str(caught.value) == (
        "apt could not install what is wanted: there is no room left on the disk\n"
        "    E: You don't have enough free space in /var/cache/apt/archives/.\n"
        "  → make room, then run the same command again"
    )


def test_a_package_of_somebody_else_keeps_apt_from_it(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    machine.answers["apt-get"] = Completed(100, "", "Errors were encountered while processing:\n slow-package\n")
    with pytest.raises(TljhError, match=r"cannot finish slow-package, which is none of the .* wanted here"):
        specs("hello").change(Diff({}, {"hello": "installed"}, {}), machine)


def test_lists_that_can_not_be_fetched(tmp_path: Path) -> None:
    """apt ends well then: it only warns, and knows no package later."""
    machine = AptMachine(tmp_path)
    machine.answers["apt-cache policy"] = ""
    machine.answers["apt-get"] = "W: Failed to fetch http://x/InRelease  Temporary failure resolving 'x'\n"
    with pytest.raises(TljhError, match=r"^the lists of the system's packages could not be read: .*\(DNS\)\n"):
        specs("hello").change(Diff({}, {"hello": "installed"}, {}), machine)


def test_somebody_was_faster(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    answers = iter([CommandFailed(["apt-get"], 100, "E: Could not get lock /var/lib/dpkg/lock-frontend.")])
    machine.answers["apt-get"] = lambda words: next(answers, None) or machine._apt(words)
    wanted = specs("git")
    wanted.change(Diff({}, wanted.desired(), {}), machine)
    assert len(machine.ran("apt-get")) == 2 and "git" in machine.installed


# ---- a life


class Life:
    """A machine that is brought from one wish to the next."""

    def __init__(self, machine: AptMachine) -> None:
        self.machine = machine
        self.store = store_in_memory()

    def plan(self, *texts: str) -> Plan:
        wanted = AptPackages.of(dict.fromkeys(texts, "core"), quiet)
        owned = self.store.owned()
        wanted.origins = {**owned.get("apt", {}), **wanted.origins}
        return make_plan([wanted], Facts(self.machine), owned)

    def want(self, *texts: str) -> list[Any]:
        self.machine.commands.clear()
        plan = self.plan(*texts)
        applier = Applier(self.machine, Facts(self.machine), self.store, self.store.begin_run("test"))
        return [line for step in (*plan.puts, *plan.drops) for line in applier.apply(step)]


def test_packages_come_and_go(tmp_path: Path) -> None:
    life = Life(AptMachine(tmp_path))
    life.machine.installed["git"] = "1"
    life.machine._write()
    life.want("git", "sl")
    assert set(life.machine.installed) == {"git", "sl", METAPACKAGE}
    assert set(life.store.owned()["apt"]) == {"sl", METAPACKAGE}, "git was there before"
    assert life.want("git", "sl") == []
    assert life.machine.commands == []
    life.want("git")
    assert set(life.machine.installed) == {"git", METAPACKAGE}
    life.want()
    assert set(life.machine.installed) == {"git"}
    assert life.store.owned() == {}


def test_to_remove_a_package_nothing_is_installed_again(tmp_path: Path) -> None:
    life = Life(AptMachine(tmp_path))
    life.want("git", "sl")
    life.want("git")
    installs = [command for command in life.machine.commands if " install " in command]
    assert len(installs) == 1, "the metapackage that no longer depends on it, once"


def test_a_package_that_the_admin_removed_is_mended(tmp_path: Path) -> None:
    life = Life(AptMachine(tmp_path))
    life.want("git")
    del life.machine.installed["git"]
    life.machine._write()
    assert [(line.action, line.key) for line in life.want("git")] == [("create", "git")]


def test_what_something_else_needs_stays_and_is_no_longer_ours(tmp_path: Path) -> None:
    life = Life(AptMachine(tmp_path, needed={"sl": ["the-admins-tool"]}))
    life.want("git", "sl")
    life.want("git")  # and that is no failure
    assert "sl" in life.machine.installed
    assert not [command for command in life.machine.commands if command.endswith(" sl") and " -s " not in command]
    assert not life.plan("git"), "the next run doesn't try again"


# ---- from a folder of ours


def from_folder(machine: AptMachine, known: str, *texts: str) -> list[str]:
    wanted = specs(*texts)
    wanted.source = Path("/srv/apt")
    machine.answers["apt-cache policy -o"] = known
    wanted.change(Diff({}, wanted.desired(), {}), machine)
    return machine.ran("apt-get")


def test_what_the_folder_has_comes_from_there_alone(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    update, install = from_folder(machine, KNOWN, "git")
    for command in (update, install):
        assert "Dir::Etc::SourceParts=/dev/null" in command and "Dir::Etc::SourceList=" in command
    assert re.search(r" install -o Dir::Etc::.* --fix-broken .*\.deb$", install)
    assert " --no-remove " in install
    assert "git" in machine.installed


def test_what_the_folder_lacks_comes_from_the_machines_own_sources(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    *_, install = from_folder(machine, KNOWN, "git", "sl")
    assert "Dir::Etc" not in install
    assert set(machine.installed) == {"git", "sl", METAPACKAGE}


def test_package_lists_that_come_to_no_end_are_read_once_more(tmp_path: Path) -> None:
    machine = AptMachine(tmp_path)
    answers = iter([CommandFailed(["apt-get"], None, "Reading package lists..."), "", ""])
    machine.answers["apt-cache policy"] = ""
    machine.answers["apt-get"] = lambda words: next(answers) if words[-1] == "update" else machine._apt(words)
    wanted = specs("git")
    wanted.change(Diff({}, wanted.desired(), {}), machine)
    updates = [command for command in machine.ran("apt-get") if command.endswith("update")]
    assert len(updates) == 2 and "git" in machine.installed

    answers = iter([CommandFailed(["apt-get"], 100, "no network")])
    with pytest.raises(TljhError, match="no network"):
        wanted.change(Diff({}, wanted.desired(), {}), machine)
