"""The harness itself: what the other tests rely on."""

from collections.abc import Callable

from server import Server


def test_is_bare_and_keeps_its_disk(make_server: Callable[..., Server]) -> None:
    machine = make_server("bare").machine
    for program in ("sudo", "git", "pip", "pip3", "make", "gcc"):
        assert machine.run("sh", "-c", f"command -v {program}").returncode != 0, program
    machine.write("/root/kept", "yes")
    machine.sh("echo no > /run/lost").check()
    machine.reboot()
    assert machine.read("/root/kept") == "yes"
    assert not machine.exists("/run/lost")
    machine.kill()
    machine.boot()
    assert machine.read("/root/kept") == "yes"


def test_enforces_limits(make_server: Callable[..., Server]) -> None:
    machine = make_server("limits").machine
    greedy = ("python3", "-c", "x = bytearray(300 << 20)")
    assert machine.run("systemd-run", "-q", "--wait", "-p", "MemoryMax=2G", *greedy).returncode == 0
    limits = ("-p", "MemoryMax=100M", "-p", "MemorySwapMax=0")
    assert machine.run("systemd-run", "-q", "--wait", *limits, *greedy).returncode != 0


def test_container_has_no_systemd_and_reaps(make_server: Callable[..., Server]) -> None:
    machine = make_server("container", container=True).machine
    assert not machine.exists("/run/systemd/system")
    machine.sh("(sleep 0.2 &)").check()
    machine.sh("sleep 0.5; ! ps -eo stat= | grep -q Z").check()
