"""The order of the stages, and the small ones: preflight, packages, accounts, hooks, the end of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeMachine, Things, make_context, real, recorded
from tljh.configurer import with_defaults
from tljh.engine.apply import Applier
from tljh.engine.build import Stage, build
from tljh.engine.facts import Facts
from tljh.engine.plan import Change, make_plan
from tljh.engine.resource import difference
from tljh.engine.store import HookRun
from tljh.errors import TljhError
from tljh.plugins import hub_record
from tljh.plugins.calls import HookFailure
from tljh.plugins.contributions import PluginReport
from tljh.resources.apt import AptPackages
from tljh.resources.file import File
from tljh.resources.locks.lock import BY_HAND, Lock, Requested
from tljh.resources.service import Service
from tljh.stages import accounts, core_stages, generation, hooks, preflight, run, verification
from tljh.stages.context import Context, Options, find_uv, manager_for
from tljh.stages.hub_environment import HubEnvironment
from tljh.stages.leaving import forgotten
from tljh.stages.system_packages import SystemPackages


@pytest.fixture
def context(tmp_path: Path) -> Context:
    made = make_context(real(tmp_path), config=with_defaults({}), hub_lock=Lock((), ("tljh-x==1.0",)))
    made.hub_target, made.user_lock = made.paths.envs / "hub-1", Lock((), ("numpy==2.0",))
    made.user_target = made.paths.envs / "user-1"
    return made


def test_the_order() -> None:
    assert [stage.name for stage in core_stages()] == [
        "takeover",
        "config",
        "system packages",
        "removed plugins",
        "hub environment",
        "user environment",
        "environments",
        "lock",
        "accounts",
        "plugins' files",
        "proxy",
        "services",
        "plugins' services",
        "verification",
        "plugins' hooks",
    ]


def test_all_stages_together_describe_everything_once(context: Context) -> None:
    found = build(core_stages(), context, {}, forgotten.makers(context))
    names = [resource.id for resource in found]
    assert len(names) == len(set(names))
    assert {"apt", "environment:hub", "environment:user", "groups", "service:jupyterhub"} <= set(names)
    assert all(resource.stage for resource in found)


def test_what_no_stage_speaks_of_any_more_can_be_dropped(context: Context) -> None:
    found = build([], context, {}, {})
    assert found == []
    gone = [make(f"{kind}:/old") for kind, make in forgotten.makers(context).items()]
    assert [resource.desired() for resource in gone] == [{}] * 9
    kinds = {"file", "link", "directory", "group", "account", "member", "unit", "service", "stage"}
    assert set(forgotten.makers(context)) == kinds


# ---- preflight


def test_root_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(TljhError) as caught:
        preflight.check_root()
    assert str(caught.value) == "this needs root\n  → run it as root, or with sudo where there is one"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    preflight.check_root()


def ports(**settings: Any) -> dict[str, Any]:
    return with_defaults({"http": {"port": 80}, **settings})


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    machine = FakeMachine(tmp_path)
    machine.put("/proc/net/tcp6", recorded("engine/proc-net-tcp6"))  # port 80, inode 122377
    return Facts(machine)


def test_a_port_that_is_taken(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_owner_of_socket", lambda inode: (77, "apache2") if inode == 122377 else None)
    with pytest.raises(TljhError) as caught:
        preflight.check_ports(ports(), facts)
    assert str(caught.value) == (
        "port 80 is taken by apache2 (pid 77)\n  → stop it, or choose another port: tljh-config set http.port PORT"
    )
    monkeypatch.setattr(preflight, "_owner_of_socket", lambda inode: None)
    with pytest.raises(TljhError, match=r"^port 80 is taken by another program\n"):
        preflight.check_ports(ports(), facts)


def test_ports_that_are_free_or_ours(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    preflight.check_ports(ports(http={"port": 8081}), facts)
    monkeypatch.setattr(preflight, "_owner_of_socket", lambda inode: (77, "traefik"))
    preflight.check_ports(ports(), facts)


def test_the_https_port_counts_where_https_is_on(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_owner_of_socket", lambda inode: (77, "nginx"))
    settings = {"http": {"port": 8081}, "https": {"enabled": False, "port": 80}}
    preflight.check_ports(ports(**settings), facts)
    settings["https"]["enabled"] = True
    with pytest.raises(TljhError, match=r"tljh-config set https\.port PORT"):
        preflight.check_ports(ports(**settings), facts)


# ---- packages, commands, accounts


def test_packages_of_plugins(context: Context) -> None:
    asks = {"tljh_extra_apt_packages": ("sl", "git")}
    context.reports = [PluginReport("x", "tljh-x", "1.0", contributions=asks)]
    (found,) = SystemPackages().resources(context)
    assert isinstance(found, AptPackages)
    assert [spec.name for spec in found.specs] == ["git", "sudo", "sl"]
    assert (found.origin("sl"), found.origin("git")) == ("x", "core")


def test_commands(context: Context) -> None:
    found = {resource.id: resource.desired() for resource in HubEnvironment().resources(context)}
    assert found["link:/usr/bin/tljh"] == {"target": f"{context.paths.bin}/tljh"}
    assert found["link:/usr/bin/tljh-config"] == {"target": f"{context.paths.bin}/tljh-config"}


def test_who_may_do_what(context: Context) -> None:
    context.store.remember_account(name="gone", uid=1001, gid=1001, home="/nonexistent", origin="core")
    context.store.remember_account(name="ana", uid=1002, gid=1002, home=str(context.scratch), origin="core")
    found = {resource.id: resource for resource in accounts.Accounts().resources(context)}
    assert found["groups"].desired() == {"jupyterhub-admins": "present", "jupyterhub-users": "present"}
    assert found["accounts"].desired() == {"ana": "present"}, "only where the home is still there"
    sudoers = found["file:/etc/sudoers.d/jupyterhub-admins"]
    assert isinstance(sudoers, File)
    assert sudoers.mode == "0440"
    assert (sudoers.content or b"").startswith(b"%jupyterhub-admins ALL = (ALL) NOPASSWD: ALL\n")
    assert "passwords" not in found


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The password file, as a dictionary: a real hash takes 0.2 s."""
    stored: dict[str, str] = {}
    monkeypatch.setattr(accounts.passwords, "password_is_set", lambda file, name: name in stored)
    monkeypatch.setattr(accounts.passwords, "check_password", lambda file, name, word: stored.get(name) == word)
    monkeypatch.setattr(accounts.passwords, "set_password", lambda file, name, word: stored.update({name: word}))
    return stored


def test_first_passwords(context: Context, cheap_passwords: dict[str, str]) -> None:
    cheap_passwords.update(ana="her own", bo="old")
    context.options = Options(admins=("ana", "bo", "cy"), passwords={"bo": "new-word"})
    found = next(r for r in accounts.Accounts().resources(context) if r.id == "passwords")
    diff = difference(found, context.facts, set())
    assert diff.put == {"bo": "set", "cy": "set"}
    found.change(diff, context.machine)
    assert cheap_passwords["ana"] == "her own"
    assert cheap_passwords["bo"] == "new-word"
    assert context.generated == {"cy": cheap_passwords["cy"]}, "to be shown once"
    assert not difference(found, context.facts, set())
    assert "new-word" not in repr(found)
    assert cheap_passwords["cy"] not in repr(context)


def test_other_authenticators_have_no_passwords_of_ours(context: Context) -> None:
    context.options = Options(admins=("ana",))
    context.config = with_defaults({"auth": {"type": "oauthenticator.github.GitHubOAuthenticator"}})
    assert "passwords" not in {resource.id for resource in accounts.Accounts().resources(context)}


def test_passwords_that_can_be_read_aloud() -> None:
    made = {accounts._made_up() for _ in range(50)}
    assert len(made) == 50
    assert all(len(word) == 16 and word.isalnum() and not set(word) & set("Il1O0o") for word in made)


# ---- plugins' hooks


@pytest.fixture
def hook(context: Context, monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Plugin → why its hook fails, if it does."""
    failures: dict[str, str | None] = {"x": None, "y": None}
    context.reports = [PluginReport(name, f"tljh-{name}", "1.0", hooks=(hooks.HOOK,)) for name in failures]

    def ran(machine: object, python: object, name: str, **how: object) -> HookFailure | None:
        context.fetched[name] = "ran"
        problem = failures[name]
        return HookFailure(problem, "Traceback") if problem else None

    monkeypatch.setattr(hooks, "run_post_install", ran)
    return failures


def run_hooks(context: Context) -> list[str]:
    """Apply the stage; returns the plugins whose hook ran."""
    context.fetched.clear()
    plan = make_plan(list(hooks.PostInstallHooks().resources(context)), context.facts, {})
    applier = Applier(context.machine, context.facts, context.store, context.store.begin_run("test"))
    for step in plan.puts:
        applier.apply(step)
    return list(context.fetched)


def test_hooks_run_once_and_again_when_something_differs(context: Context, hook: dict[str, str | None]) -> None:
    assert run_hooks(context) == ["x", "y"]
    assert run_hooks(context) == []
    context.user_lock = Lock((Requested("numpy", "core"),), ("numpy==2.0",))
    assert run_hooks(context) == ["x", "y"]
    context.user_lock = Lock(
        (Requested("numpy", "core"), Requested("mine==1", BY_HAND)), ("numpy==2.0", "mine==1")
    )
    assert run_hooks(context) == [], "what an admin installs by hand is none of their business"
    context.config_text = "base_url: /x\n"
    assert run_hooks(context) == ["x", "y"]


def test_a_hook_that_fails_runs_again_the_others_do_not(context: Context, hook: dict[str, str | None]) -> None:
    hook["x"] = "plugin x 1.0: tljh_post_install raised KeyError: 'a'"
    with pytest.raises(hooks.HookFailed) as caught:
        run_hooks(context)
    assert caught.value.problems == ("plugin x 1.0: tljh_post_install raised KeyError: 'a'",)
    hook["x"] = None
    assert run_hooks(context) == ["x"]
    assert isinstance(context.store.hook_run("x", hooks.HOOK), HookRun)


def test_hooks_run_when_they_are_asked_for(context: Context, hook: dict[str, str | None]) -> None:
    run_hooks(context)
    context.options = Options(run_hooks=True)
    assert run_hooks(context) == ["x", "y"]
    context.options = Options()
    assert run_hooks(context) == []


def test_hooks_of_a_plugin_that_this_run_does_without(context: Context, hook: dict[str, str | None]) -> None:
    context.left_out = {"x": context.reports[0]}
    assert run_hooks(context) == ["y"]


def test_who_has_changed_the_config(
    context: Context, hook: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = hooks.run_post_install

    def changing(machine: object, python: object, name: str, **how: Any) -> HookFailure | None:
        if name == "y":
            context.paths.config_file.write_text("base_url: /y\n")
        return ran(machine, python, name, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(hooks, "run_post_install", changing)
    run_hooks(context)
    assert context.config_changed_by == ["y"]


def test_no_hooks(context: Context) -> None:
    context.reports = [PluginReport("x", "tljh-x", "1.0")]
    assert list(hooks.PostInstallHooks().resources(context)) == []


# ---- the end of a run


def line(action: str) -> Change:
    return Change("s", "r", "k", action, None, None, "core", "removed")


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([], "nothing"),
        (["change", "create", "create"], "2 to create, 1 to change"),
        (["remove"], "1 to remove"),
        (["run", "run"], "2 to run"),
    ],
)
def test_a_plan_in_words(actions: list[str], words: str) -> None:
    assert run._in_words([line(action) for action in actions]) == words


def test_wishes_are_recorded(context: Context) -> None:
    context.store.add_wishes("plugin", ["old"])
    context.plugin_specs, context.requirements = ["b", "a"], ["https://host/r.txt"]
    context.fetched["https://host/r.txt"] = "numpy\n"
    run._record_wishes(context)
    assert context.store.wishes("plugin") == ["b", "a"]
    assert context.store.wishes("requirements") == ["https://host/r.txt"]
    assert context.store.wishes("content of https://host/r.txt") == ["numpy\n"]


def test_a_generation_is_recorded_and_old_environments_go(context: Context) -> None:
    (context.paths.envs / "user-1").mkdir()
    (context.paths.envs / "hub-1").mkdir()
    for number in range(2, 7):
        context.hub_target = context.paths.envs / f"hub-{number}"
        context.hub_target.mkdir()
        generation.record(context, context.store.begin_run("x"), "tljh install")
    assert sorted(path.name for path in context.paths.envs.iterdir()) == ["hub-4", "hub-5", "hub-6", "user-1"]
    newest = context.store.generations(1)[0]
    assert newest["environments"] == {"hub": "hub-6", "user": "user-1"}
    assert generation.lock_of(newest, "hub") == context.hub_lock
    assert generation.lock_of(newest, "user") == context.user_lock
    assert generation.lock_of(newest, "gis") is None


def test_a_plan_that_changes_nothing_is_no_generation(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "look", lambda context: ((), make_plan([Things("x")], context.facts, {})))
    assert run.install(context, "tljh install").changes == ()
    assert len(context.store.generations()) == 1, "what is there was not recorded"
    assert run.install(context, "tljh install").changes == ()
    assert len(context.store.generations()) == 1
    assert context.store.unfinished_runs(but=0) == []


@pytest.mark.parametrize(
    ("error", "outcome"), [(TljhError("no"), "failed: no"), (KeyboardInterrupt(), "interrupted")]
)
def test_how_a_run_ended_is_recorded(
    context: Context, monkeypatch: pytest.MonkeyPatch, error: BaseException, outcome: str
) -> None:
    class Failing(accounts.Accounts):
        name = "failing"

    thing = Things("x", wanted={"a": "1"}, error=error, stage="failing")
    plan = make_plan([thing], context.facts, {})
    monkeypatch.setattr(run, "look", lambda context: ([Failing()], plan))
    with pytest.raises(type(error)):
        run.install(context, "tljh install")
    assert context.store._db.execute("select outcome from runs").fetchall() == [(outcome,)]
    assert context.store.generations() == []


def test_what_is_asked_for_too_early(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="hub_lock is asked for before it is known"):
        make_context(tmp_path).required("hub_lock")


def test_uv(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TLJH_UV", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(TljhError) as caught:
        find_uv(context.paths)
    assert str(caught.value) == "uv is not on this machine\n  → run the bootstrap script, which brings it"
    uv = context.paths.bin / "uv"
    uv.parent.mkdir()
    uv.touch(0o755)
    assert find_uv(context.paths) == uv
    monkeypatch.setenv("TLJH_UV", "/bin/sh")
    assert find_uv(context.paths) == Path("/bin/sh")


def test_two_kinds_of_host(context: Context) -> None:
    kinds = [type(manager_for(context.paths, context.machine, with_systemd=kind)) for kind in (True, False)]
    assert [kind.__name__ for kind in kinds] == ["Systemd", "Supervisor"]


# ---- verification


class Said:
    def failing(self, name: str) -> str:
        return ""

    def log_tail(self, name: str) -> str:
        return "no such module\n" if name == "jupyterhub" else "\n"


def test_a_plugin_that_failed_as_the_hub_started_is_told(
    context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verification, "wait_for_hub", lambda *given, **how: "6.1.1")
    failed = hub_record.HubRecord(failed={"a": "plugin a (tljh-a 1.0): it failed"})
    hub_record.write(context.paths.state, failed, context.machine)
    verification.Verification().check(context)
    assert "plugin a (tljh-a 1.0): it failed; the hub runs without its settings" in capsys.readouterr().err


def test_waiting_for_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [{"error": "refused"}, {"version": "5.2.1"}]
    monkeypatch.setattr(verification, "hub_answer", lambda config: answers.pop(0))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert verification.wait_for_hub({}, Said()) == "5.2.1"  # type: ignore[arg-type]


def test_the_hub_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "hub_answer", lambda config: {"error": "http://x answers 502"})
    with pytest.raises(TljhError) as caught:
        verification.wait_for_hub({}, Said(), timeout=-1.0)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "the hub does not answer after -1 s: http://x answers 502\n"
        "  jupyterhub last said:\n    no such module\n"
        "  → mend what it complains of, then run the same command again"
    )


def test_a_hub_that_ends_again_and_again_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "jupyterhub.started"

    def start_again(seconds: float) -> None:
        started.touch()
        os.utime(started, ns=(0, starts.pop()))

    starts = [4, 4, 3, 3, 2, 1]
    monkeypatch.setattr(verification, "hub_answer", lambda config: {"error": "http://x answers 502"})
    monkeypatch.setattr("time.sleep", start_again)
    with pytest.raises(TljhError) as caught:
        verification.wait_for_hub({}, Said(), started=started)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "the hub ends as soon as it is started, 3 times in 0 s\n"
        "  jupyterhub last said:\n    no such module\n"
        "  → mend what it complains of, then run the same command again"
    )
    assert starts == [4]


def test_requests_to_the_proxy_are_not_told() -> None:
    assert verification._without_requests('{"RequestPath":"/hub/api/"}\nno certificate') == "no certificate"


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://machine/"),
        ({"http": {"port": 8080}, "base_url": "/jupyter"}, "http://machine:8080/jupyter/"),
        (
            {"https": {"enabled": True, "letsencrypt": {"email": "a@b", "domains": ["hub.example.org"]}}},
            "https://hub.example.org/",
        ),
    ],
)
def test_the_address_to_tell_people(settings: dict[str, Any], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "machine")
    assert verification.public_url(with_defaults(settings)) == url


# ---- asking, and once more


def test_who_refuses_a_plan_changes_nothing(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Things("x", wanted={"a": "1"})
    plan = make_plan([thing], context.facts, {})
    monkeypatch.setattr(run, "look", lambda context: ([], plan))
    asked: list[object] = []
    outcome = run.install(context, "tljh install", lambda shown: bool(asked.append(shown)))
    assert asked == [plan]
    assert (outcome.refused, outcome.changes, thing.calls) == (True, (), [])
    assert context.store._db.execute("select count(*) from runs").fetchone() == (0,)


def test_nobody_is_asked_where_there_is_nothing_to_do(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "look", lambda context: ((), make_plan([Things("x")], context.facts, {})))
    assert not run.install(context, "tljh install", lambda plan: pytest.fail("it asked")).refused


class Passes:
    """Runs whose hooks change config.yaml as often as they are told to."""

    def __init__(self, context: Context, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.context, self.times, self.passes = context, times, 0
        context.options = Options(run_hooks=True)
        (context.paths.envs / "user-1").mkdir()
        monkeypatch.setattr(run, "look", self.look)

    def look(self, context: Context) -> tuple[list[Any], Any]:
        self.passes += 1
        self.forced = context.options.run_hooks
        thing = Things(f"x{self.passes}", wanted={"a": "1"}, stage="one")
        thing.on_change = self.change
        return [OneStage()], make_plan([thing], context.facts, {})

    def change(self) -> None:
        if self.passes <= self.times:
            self.context.config_changed_by.append("x")


class OneStage(Stage[Context]):
    name, priority = "one", 1


def test_what_post_install_puts_into_the_config_takes_effect(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Passes(context, monkeypatch, 1)
    outcome = run.install(context, "tljh install")
    assert [line.resource for line in outcome.changes] == ["x1", "x2"]
    assert not passes.forced, "hooks were forced in the first pass"


def test_a_plugin_that_changes_the_config_each_time(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(context, monkeypatch, 9)
    with pytest.raises(TljhError) as caught:
        run.install(context, "tljh install")
    assert str(caught.value) == (
        "plugin x: tljh_post_install changes config.yaml each time it runs, so that no install comes to an end\n"
        "  → update or leave out the plugin; the hub serves with what config.yaml said before"
    )
    assert passes.passes == 2


def test_environments_that_links_point_to_stay(context: Context) -> None:
    for name in ("user-1", "hub-1", "hub-7", "teaching-1", "teaching-2"):
        (context.paths.envs / name).mkdir()
    context.paths.hub.symlink_to(context.paths.envs / "hub-7")
    (context.paths.envs / "teaching").symlink_to("teaching-1")
    generation.record(context, context.store.begin_run("x"), "tljh install")
    left = sorted(path.name for path in context.paths.envs.iterdir())
    assert left == ["hub-1", "hub-7", "teaching", "teaching-1", "user-1"]


def test_a_run_that_was_killed_at_its_very_end_is_ended_and_cleaned_up_after(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "look", lambda context: ((), make_plan([Things("x")], context.facts, {})))
    run.install(context, "tljh install")
    (context.paths.envs / "user-9").mkdir()  # what the clean-up would have removed
    cut_off = context.store.begin_run("tljh install --plugin x")
    run.install(context, "tljh install")
    assert not (context.paths.envs / "user-9").exists()
    assert context.store.unfinished_runs(but=0) == []
    outcomes = dict(context.store._db.execute("select id, outcome from runs"))
    assert outcomes[cut_off] == "killed"


def test_a_good_run_leaves_a_copy_of_the_state_database(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(context.reporter, "warn", said.append)
    copies = ["a copy"]
    monkeypatch.setattr(context.store, "copy", lambda: copies.pop())
    generation.record(context, context.store.begin_run("x"), "tljh install")
    assert (copies, said) == ([], [])

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(context.store, "copy", full)
    run_number = context.store.begin_run("x")
    generation.record(context, run_number, "tljh install")
    assert said == ["the state database could not be copied: [Errno 28] No space left on device"]
    assert context.store.unfinished_runs(but=0) == [], "all else is done"


@pytest.mark.parametrize(("wanted", "left", "asked"), [(True, True, 2), (False, True, 1), (True, False, 1)])
def test_a_hub_that_dropping_restarts_is_asked_once_more(
    context: Context, monkeypatch: pytest.MonkeyPatch, wanted: bool, left: bool, asked: int
) -> None:
    """A plugin's file that it had read is gone: it starts without it, after it was verified."""
    answered: list[Context] = []
    monkeypatch.setattr(verification.Verification, "check", lambda self, context: answered.append(context))
    monkeypatch.setattr(Service, "observe", lambda self, facts: {"active": "yes", "with /x.py": "1"})
    monkeypatch.setattr(Service, "desired", lambda self: {"active": "yes"})
    monkeypatch.setattr(Applier, "apply", lambda self, step: step.changes() if left else [])
    service = Service("service:x", manager=None, started=Path("/s"), environment=Path("/e"), wanted=wanted)  # type: ignore[arg-type]
    plan = make_plan([service], context.facts, {"service:x": {"active": "core"}})
    assert plan.drops and not plan.puts
    run._apply(context, [verification.Verification()], plan, context.store.begin_run("x"))
    assert len(answered) == asked
