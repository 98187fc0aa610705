"""The file as a whole, the checks of the host, the command line, and what is said to people."""

import ast
import errno
import json
import os
import shlex
import signal
from pathlib import Path

import bootstrap_file as b
import pytest

SOURCE = Path(b.__file__).read_text()

BOOKWORM = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://www.debian.org/"
"""
JAMMY = 'PRETTY_NAME="Ubuntu 22.04.4 LTS"\nVERSION_ID="22.04"\nID=ubuntu\nID_LIKE=debian\n'
FOCAL = 'PRETTY_NAME="Ubuntu 20.04.6 LTS"\nVERSION_ID="20.04"\nID=ubuntu\nID_LIKE=debian\n'
MINT = (
    'NAME="Linux Mint"\nVERSION_ID="21.3"\nID=linuxmint\nID_LIKE="ubuntu debian"\nPRETTY_NAME="Linux Mint 21.3"\n'
)
SID = 'PRETTY_NAME="Debian GNU/Linux forky/sid"\nNAME="Debian GNU/Linux"\nVERSION_CODENAME=forky\nID=debian\n'

MEMINFO = "MemTotal:        2035556 kB\nMemFree:          120000 kB\nMemAvailable:    1500000 kB\n"

# recorded (the last columns left out): nginx on 80, sshd on 22, traefik's API on 8099, a connection to a port 80
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 25371 1 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 19422 1 0
   2: 0100007F:1FA3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 28711 1 0
   3: 0A00020F:B2DC 22D8B85D:0050 01 00000000:00000000 02:00000BB8 00000000  1000        0 30018 2 0
"""
TCP6 = f"""\
  sl  local_address  remote_address  st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: {32 * "0"}:0050 {32 * "0"}:0000 0A 00000000:00000000 00:00000000 00000000     0        0 25372 1 0
"""

# ---- the file


def test_it_parses_on_python_3_6():
    ast.parse(SOURCE, feature_version=(3, 6))
    assert "from __future__ import annotations" not in SOURCE


def test_an_old_python_is_told_before_anything_newer_is_needed():
    """Only imports that 3.6 has, and definitions without annotations, come before the question."""
    before = SOURCE.partition("\nif too_old(sys.version_info)")[0]
    assert "class " not in before
    assert "->" not in before
    said = b.too_old((3, 6, 9, "final", 0))
    assert "this is Python 3.6, and at least 3.10 is needed" in said
    assert "/usr/bin/python3" in said
    assert b.too_old((3, 10, 0)) == ""


def test_a_download_that_is_cut_off_does_nothing():
    assert SOURCE.rstrip().endswith("sys.exit(main(sys.argv[1:]))")


# ---- checks


@pytest.mark.parametrize("text", [BOOKWORM, JAMMY, BOOKWORM.replace("12", "13"), JAMMY.replace("22.04", "24.04")])
def test_supported_systems(text):
    assert b.check_system(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (FOCAL, "Ubuntu 20.04.6 LTS"),
        (BOOKWORM.replace("12", "11"), "Debian GNU/Linux 11"),
        (SID, "Debian GNU/Linux forky/sid"),
        (MINT, "Linux Mint 21.3, a derivative of a supported system, which is not the same"),
        ("ID=fedora\nVERSION_ID=40\n", "fedora 40"),
        ("", "an unknown system"),
    ],
)
def test_other_systems_are_named_with_the_way_around(text, found):
    said = str(b.check_system(text))
    assert found in said
    assert "Debian 12 or later, or Ubuntu 22.04 or later" in said
    assert "TLJH_BOOTSTRAP_UNSUPPORTED_OS=yes" in said
    assert b.check_system(text, unsupported=True) is None


def test_root_and_architecture():
    assert b.check_root(0) is None
    assert "user id 1000" in str(b.check_root(1000))
    assert "sudo" in str(b.check_root(1000))
    assert b.check_architecture("aarch64") is None
    assert "armv7l" in str(b.check_architecture("armv7l"))


def test_memory_is_the_machine_s_or_the_container_s():
    assert b.memory_of(MEMINFO, []) == 2035556 * 1024
    assert b.memory_of(MEMINFO, ["max\n", "536870912\n", ""]) == 512 * 2**20
    assert b.memory_of(MEMINFO, ["9223372036854771712\n"]) == 2035556 * 1024  # cgroup v1's "no limit"
    said = str(b.check_memory(512 * 2**20))
    assert "537 MB of memory" in said
    assert "1 GB" in said
    assert b.check_memory(967_000 * 1024) is None  # what a 1 GB machine in a cloud shows


def test_cgroup_files_of_both_versions():
    assert b.cgroup_files("0::/user.slice/a\n") == [
        Path("/sys/fs/cgroup/user.slice/a/memory.max"),
        Path("/sys/fs/cgroup/user.slice/memory.max"),
        Path("/sys/fs/cgroup/memory.max"),
    ]
    both = b.cgroup_files("8:cpu,cpuacct:/x\n4:memory:/docker/1\n0::/\n")
    assert Path("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes") in both
    assert not any("cpu" in str(file) for file in both)


def test_disk_needs_less_on_a_second_run():
    said = str(b.check_disk(10**9, Path("/opt"), again=False))
    assert "1.0 GB free at /opt" in said
    assert "needed: 3.0 GB" in said
    assert "TLJH_INSTALL_PREFIX" in said
    assert b.check_disk(10**9, Path("/opt"), again=True) is None


def test_listening_sockets_of_recorded_tables():
    assert b.listening_inodes(TCP, 80) == {"25371"}  # not the connection to somebody else's port 80
    assert b.listening_inodes(TCP6, 80) == {"25372"}
    assert b.listening_inodes(TCP, 8099) == {"28711"}
    assert b.listening_inodes("", 80) == set()


def test_a_taken_port_names_the_process_unless_it_is_our_proxy():
    prefix = Path("/opt/tljh")
    nginx = b.Process(812, "nginx", "/usr/sbin/nginx", "nginx: master process")
    ours = b.Process(900, "traefik", "/opt/tljh/envs/hub-3/bin/traefik", "traefik")
    said = str(b.check_port(80, True, [nginx], prefix))
    assert "port 80 is in use by nginx (pid 812)" in said
    assert "stop and disable that service" in said
    assert b.check_port(80, True, [ours], prefix) is None
    assert b.check_port(80, False, [], prefix) is None
    assert "cannot be seen from here" in str(b.check_port(80, True, [], prefix))


def test_processes_are_found_by_what_they_have_open(tmp_path):
    for pid, target in (("812", "socket:[25371]"), ("900", "/dev/null"), ("self", "socket:[25371]")):
        folder = tmp_path / pid
        (folder / "fd").mkdir(parents=True)
        (folder / "fd" / "6").symlink_to(target)
        (folder / "exe").symlink_to("/usr/sbin/nginx")
        (folder / "comm").write_text("nginx\n")
        (folder / "cmdline").write_bytes(b"nginx\0-g\0daemon off;\0")
    assert b.processes_with({"socket:[25371]"}, tmp_path) == [
        b.Process(812, "nginx", "/usr/sbin/nginx", "nginx -g daemon off;")
    ]


def test_all_failed_checks_are_told_together(tmp_path, monkeypatch):
    texts = {"/etc/os-release": FOCAL, "/proc/meminfo": "MemTotal: 400000 kB\n"}
    monkeypatch.setattr(b, "_text", lambda path: texts.get(str(path), ""))
    monkeypatch.setattr(b.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(b.platform, "machine", lambda: "riscv64")
    with pytest.raises(b.Stop) as caught:
        b.check_host(tmp_path / "opt" / "tljh", {})
    said = str(caught.value)
    assert "nothing was changed" in said
    for words in ("user id 1000", "Ubuntu 20.04.6", "riscv64", "410 MB of memory"):
        assert words in said
    assert said.count("needed:") >= 4
    assert list(tmp_path.iterdir()) == []


# ---- the command line


def test_admins_and_plugins_in_both_ways_and_unknown_flags_in_order():
    wishes = b.parse_arguments(
        shlex.split(
            "--admin ada:se:cret bob --plugin tljh-a --plugin tljh-b tljh-c --yes --later=1"
            " --admin eve:x --admin-password-file /f -v"
        )
    )
    assert wishes.arguments == [
        "--admin",
        "ada",
        "--admin",
        "bob",
        "--admin",
        "eve",
        "--plugin",
        "tljh-a",
        "--plugin",
        "tljh-b",
        "--plugin",
        "tljh-c",
        "--yes",
        "--later=1",
        "--admin-password-file",
        "/f",
        "-v",
    ]
    assert wishes.passwords == {"ada": "se:cret", "eve": "x"}


@pytest.mark.parametrize("words", [["--admin"], ["--admin", ":x"], ["--admin", "ada:"], ["--plugin", "./nothing"]])
def test_wrong_use_is_status_2(words):
    with pytest.raises(b.Stop) as caught:
        b.parse_arguments(words)
    assert caught.value.code == 2


def test_paths_become_absolute_names_do_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "tljh-repo2docker"):
        (tmp_path / name).mkdir()
    (tmp_path / "req.txt").write_text("")
    assert b.absolute_spec("./mine") == f"{tmp_path}/mine"
    assert b.absolute_spec("./mine[all,more]") == f"{tmp_path}/mine[all,more]"
    assert b.absolute_spec("tljh-repo2docker") == "tljh-repo2docker"  # though there is such a folder
    assert b.absolute_spec("git+https://h/x@main") == "git+https://h/x@main"
    for words in ("-e ./mine", "--editable mine", f"--editable={tmp_path}/mine"):
        assert b.absolute_spec(words) == f"-e {tmp_path}/mine"
    for flag in (["--user-requirements-txt-url", "req.txt"], ["--user-requirements-txt-url=req.txt"]):
        assert f"{tmp_path}/req.txt" in b.parse_arguments(flag).arguments[-1]
    url = ["--user-requirements-txt-url", "https://h/req.txt", "req.txt"]
    assert b.parse_arguments(url).arguments == url
    with pytest.raises(b.Stop, match=r"--plugin \./nowhere: there is no such file or folder"):
        b.absolute_spec("./nowhere")
    with pytest.raises(b.Stop, match=r"--plugin /.*/nowhere: there is no such file or folder"):
        b.absolute_spec("-e nowhere")


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as caught:
        b.parse_arguments(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    for words in (
        "Examples:",
        "--admin ada",
        "TLJH_BOOTSTRAP_PIP_SPEC",
        "--user-requirements-txt-url",
        "goes to the installer",
    ):
        assert words in said


# ---- what is said


def test_secrets_are_redacted():
    said = b.redact("fetch https://me:pass@host/x, then se:cret", ["se:cret"])
    assert said == "fetch https://***@host/x, then ***"


def test_the_log_is_private_and_holds_no_secret(tmp_path, capsys):
    console = b.Console()
    console.secrets.append("se:cret")
    console.log("before there is a file: se:cret")
    console.progress = tmp_path / "progress.jsonl"
    console.open_log(tmp_path / "log")
    with pytest.raises(ZeroDivisionError), console.step("second"):
        raise ZeroDivisionError
    with console.step("first"):
        assert console.doing == "first"
    console.complain("went wrong at https://u:p@h/")
    text = (tmp_path / "log").read_text()
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    assert "before there is a file: ***" in text
    assert "u:p" not in text
    out, err = capsys.readouterr()
    assert "✗ second" in out
    assert "✓ first" in out
    assert "\033" not in out
    assert err == "bootstrap: went wrong at https://***@h/\n"
    stages = [json.loads(line) for line in console.progress.read_text().splitlines()]
    assert [(entry["stage"], entry["state"]) for entry in stages] == [
        *(("second", "started"), ("second", "failed"), ("first", "started"), ("first", "done")),
    ]


def test_the_page_tells_stages_and_time_only():
    lines = "".join(
        json.dumps(entry) + "\n"
        for entry in (
            {"stage": "uv", "state": "started", "time": 100.0},
            {"stage": "uv", "state": "done", "time": 103.0, "log": "hidden"},
            {"stage": "<b>", "state": "started", "time": 103.0},
        )
    )
    page = b.progress_html(lines + '{"stage": "cut o', 110.0)
    assert "<td>uv<td>done<td>3 s" in page
    assert "<td>&lt;b&gt;<td>under way<td>7 s" in page
    assert "hidden" not in page
    assert 'http-equiv="refresh"' in page


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("", 80),
        ("http:\n  port: 8080\n", 8080),
        ("users:\n  port: 1\nhttp:\n\n  address: x\n  port: 81\nhttps:\n  port: 2\n", 81),
    ],
)
def test_the_port_of_the_page(text, port):
    assert b.http_port(text) == port


@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (b.Stop("it broke", "mend it"), 1, "it broke\n  → mend it"),
        (b.Stop("wrong flag", code=2), 2, "wrong flag"),
        (b.Interrupted(signal.SIGINT), 130, "ended by SIGINT while environment hub-1; what is finished is kept"),
        (b.Interrupted(signal.SIGTERM), 143, "the same command goes on from there"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/opt/x"),
            1,
            "the disk is full: /opt/x; what was half done",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/opt/x"), 1, "Permission denied: /opt/x"),
    ],
)
def test_how_a_run_can_end(raised, status, words, monkeypatch, capsys):
    def fail(argv, console):
        console.doing = "environment hub-1"
        raise raised

    monkeypatch.setattr(b, "bootstrap", fail)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert b.main([]) == status
    assert words in capsys.readouterr().err


def test_another_installer_is_named():
    text = json.dumps({"pid": 41, "command": "bootstrap.py --admin ada", "started": "2026-11-21 12:00:00"})
    holder = b.Process(41, "python3", "", "")
    with pytest.raises(b.Stop) as caught:
        b.holder_problem(text, [holder])
    said = "another installer is at work (pid 41, started 2026-11-21 12:00:00, bootstrap.py --admin ada)"
    assert said in str(caught.value)
    b.holder_problem(text, [holder._replace(pid=42)])  # a child of a dead one: wait for it
    b.holder_problem("", [holder])


def test_the_lock_tells_who_holds_it(tmp_path):
    handle = b.take_lock(tmp_path / "lock", "bootstrap.py", b.Console())
    assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    os.close(handle)


@pytest.mark.parametrize("prefix", ["/opt/a b", "/opt/t$(id)", "/opt/x:y", "/opt/x%i", "/opt/x\ny"])
def test_a_prefix_that_scripts_cannot_name(prefix):
    said = str(b.check_prefix(Path(prefix)))
    assert f"found:  the install prefix {prefix!r}" in said
    assert "set TLJH_INSTALL_PREFIX to a new folder" in said


@pytest.mark.parametrize(("folder", "entry"), [("bin", "bash"), ("cache", "apt"), ("tools", "x")])
def test_a_prefix_that_is_somebody_elses(tmp_path, folder, entry):
    (tmp_path / folder).mkdir()
    assert b.check_prefix(tmp_path) is None
    (tmp_path / folder / entry).touch()
    said = str(b.check_prefix(tmp_path))
    assert f"{tmp_path}/{folder} with {entry} in it, which is not of a hub" in said
    assert "an uninstall takes away" in said
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "tljh.lock").touch()
    assert b.check_prefix(tmp_path) is None, "what an admin puts beside ours is no reason to stop"


@pytest.mark.parametrize("prefix", ["/", "/usr"])
def test_the_system_itself_is_no_prefix(prefix, monkeypatch):
    monkeypatch.setattr(b.os.path, "exists", lambda path: True)
    assert f"found:  the install prefix {prefix}\n" in str(b.check_prefix(Path(prefix)))


def test_what_an_uninstall_has_left_is_no_reason_to_stop(tmp_path):
    for name in ("bin/tljh", "bin/uv", f"bin/{b.FRESH}12-uv", "cache/uv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert b.check_prefix(tmp_path) is None
