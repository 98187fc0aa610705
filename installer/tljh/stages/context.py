"""What a stage may know: what was asked for, what the machine is, what earlier stages found out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tljh.engine.facts import Facts
from tljh.engine.machine import Machine
from tljh.engine.resource import Resource
from tljh.engine.store import HookRun, Store
from tljh.errors import TljhError
from tljh.paths import Paths
from tljh.reporter import Reporter
from tljh.resources.conda.environment import CondaBuilder
from tljh.resources.environments.python_environment import Builder
from tljh.resources.locks.lock import Lock
from tljh.resources.managers import manager_for
from tljh.resources.service import Manager
from tljh.settings.document import Document
from tljh.stages.taking_over.inherited_config import inherit

if TYPE_CHECKING:
    from tljh.plugins.contributions import PluginReport
    from tljh.plugins.merge import Setting
    from tljh.resources.conda.settings import CondaSettings
    from tljh.resources.locks.held import Held
    from tljh.resources.predecessor import Predecessor
    from tljh.stages.contributed.deployment import StageCode
    from tljh.stages.contributed.plugin_stages import LineUp
    from tljh.stages.environments import NamedEnvironment
    from tljh.stages.going_back.earlier import Earlier
    from tljh.stages.plugins import Asked

SYSTEM_PYTHONS = ("/usr/bin/python3",)


@dataclass(frozen=True)
class Options:
    """What the command line asks for.

    Attributes:
        passwords: Admin → password, never shown or logged.
        plugins: Specs as pip takes them, local paths absolute.
        requirements: URL or absolute path of a requirements file for the user environment.
        channels: conda channels for the user environment: names, URLs or absolute paths.
        drop: Names of packages that an admin installed by hand and that are not to be carried over.
        lock: URL or absolute path of a lock that the machine is to follow.
        upgrade: Packages that move to newer versions, and environments of which all do; everything when empty,
            ``None``: nothing moves by itself.
        import_plugins: Files or modules that are plugins in this run only.
        without: Names of plugins that this run does without.
        exclude_stages: Patterns of stages that this run leaves alone.
        exclude_default_stages: Leave the core's own stages alone as well.
        run_hooks: Run imperative hooks whether or not anything that they depend on has changed.
        remove_plugins: Names of plugins to take out; in the same way those to switch off, on, and to upgrade.
        rollback: The number of the generation to go back to.
        exact: Go back without carrying over what was installed by hand since.
        no_rollback: Whether what a run that fails has changed stays as it is.
        own_backup: Whether the admin has a backup of a database that we can't copy.
        argv: The installer's arguments as they were given, without passwords.
    """

    admins: tuple[str, ...] = ()
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    plugins: tuple[str, ...] = ()
    requirements: str | None = None
    channels: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    lock: str | None = None
    upgrade: tuple[str, ...] | None = None
    import_plugins: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    exclude_stages: tuple[str, ...] = ()
    exclude_default_stages: bool = False
    run_hooks: bool = False
    remove_plugins: tuple[str, ...] = ()
    disable_plugins: tuple[str, ...] = ()
    enable_plugins: tuple[str, ...] = ()
    upgrade_plugins: tuple[str, ...] = ()
    rollback: int | None = None
    exact: bool = False
    no_rollback: bool = False
    own_backup: bool = False
    progress_page: int | None = None
    argv: tuple[str, ...] = ()


@dataclass
class Context:
    """One run's knowledge; filled in stage order, read by everything after.

    Attributes:
        planning: Nothing outside caches and ``scratch`` may be changed.
        scratch: A folder of this run's own.
        config: Defaults, secrets and config.yaml as it will be, merged.
        config_text: config.yaml as it will be.
        settings: Keys of config.yaml that this run sets: by plugins, then by flags.
        reports: What each plugin asks for; those that are switched off ask for nothing.
        disabled: Names of plugins that are switched off.
        left_out: Recorded reports of plugins that this run does without; what they brought stays, none is loaded.
        plugins_environment: The environment in which plugins were asked what they want.
        asked: What plugins were asked beforehand.
        plugin_variables: What a process must have in its environment to load the plugins of this run.
        hook_runs: Good runs of config hooks, to be recorded when their keys have been written.
        fetched: URL or path → the requirements file there, to be recorded.
        channels: What ``--channel`` has ever named.
        environments: Those beside the hub's and the user environment.
        held: The lock that the machine follows, or is to follow.
        provider_why: Why the user environment's packages come from where they come from.
        written: Files that services read as they start, with the content that this run gives them.
        unread: Files that services read as they start no more, because this run removes them before.
        generated: Admin → password that was made up in this run, to be printed once.
        line_up: The stages of this run.
        stage_code: What runs the code of plugins' stages.
        resources: All that is wanted, and all that we own.
        config_changed_by: Names of the plugins whose ``tljh_post_install`` has changed config.yaml.
        earlier: The generation that this run goes back to.
        went_back: The number of the generation that the machine is as now, from a rollback's apply on.
        at: The priority of the stage that is being applied.
        predecessor: The installation of TLJH that this run takes over.
        inherited: What its config.yaml must say otherwise so that it can be used.
        not_done: Sentences on what plugins that were removed could not do any more.
    """

    paths: Paths
    options: Options
    machine: Machine
    facts: Facts
    store: Store
    reporter: Reporter
    builder: Builder
    conda: CondaBuilder
    scratch: Path
    planning: bool
    with_systemd: bool
    config: Mapping[str, Any] = field(default_factory=dict)
    config_text: str = ""
    settings: Sequence[Setting] = ()
    new_admins: Sequence[str] = ()
    reports: Sequence[PluginReport] = ()
    disabled: Sequence[str] = ()
    left_out: Mapping[str, PluginReport] = field(default_factory=dict)
    asked: Asked | None = None
    plugin_variables: Mapping[str, str] = field(default_factory=dict)
    plugin_specs: Sequence[str] = ()
    plugins_environment: Path | None = None
    requirements: Sequence[str] = ()
    channels: Sequence[str] = ()
    held: Held | None = None
    provider_why: str = ""
    hub_lock: Lock | None = None
    hub_target: Path | None = None
    user_lock: Lock | None = None
    user_target: Path | None = None
    environments: Sequence[NamedEnvironment] = ()
    hook_runs: Mapping[str, HookRun] = field(default_factory=dict)
    fetched: dict[str, str] = field(default_factory=dict)
    written: dict[Path, bytes] = field(default_factory=dict, repr=False)
    unread: set[Path] = field(default_factory=set)
    generated: dict[str, str] = field(default_factory=dict, repr=False)
    line_up: LineUp = field(default_factory=lambda: _no_stages())
    stage_code: StageCode | None = field(default=None, repr=False)
    resources: Sequence[Resource] = field(default=(), repr=False)
    config_changed_by: list[str] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)
    earlier: Earlier | None = None
    went_back: int | None = None
    at: int = 0
    predecessor: Predecessor | None = None
    inherited: Sequence[Setting] = ()

    @property
    def manager(self) -> Manager:
        """What keeps the services running on this kind of host."""
        return manager_for(self.paths, self.machine, with_systemd=self.with_systemd)

    @property
    def conda_settings(self) -> CondaSettings:
        """What conda's users have set on this machine."""
        return self.conda.settings()

    def document(self) -> Document:
        """config.yaml as it stands when this run begins to work out what it will say.

        Raises:
            TljhError: it can't be read.
        """
        if self.earlier:
            return Document(self.earlier.record["config"], self.paths.config_file.name)
        document = Document.load(self.paths.config_file)
        inherit(document, self.inherited)
        return document

    def builder_of(self, lock: Lock) -> Builder | CondaBuilder:
        """What builds the environment that a lock speaks of."""
        return self.conda if lock.provider == "conda" else self.builder

    def plugins_with(self, hook: str) -> list[str]:
        """The names of the plugins that implement ``hook``."""
        return [report.name for report in self.reports if hook in report.hooks]

    def required(self, name: str) -> Any:
        """Something that an earlier step must have found out."""
        value = getattr(self, name)
        if value is None:
            raise RuntimeError(f"{name} is asked for before it is known")
        return value


def _no_stages() -> LineUp:
    from tljh.stages.contributed.plugin_stages import LineUp

    return LineUp()


def find_uv(paths: Paths) -> Path:
    """The uv that bootstrap brought, or the one that it found."""
    candidates = [os.environ.get("TLJH_UV"), paths.bin / "uv", *(Path(p) / "uv" for p in os.get_exec_path())]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    raise TljhError("uv is not on this machine", todo="run the bootstrap script, which brings it")


def system_python() -> Path:
    """The interpreter that environments are made of: one that every user can read and that apt maintains."""
    for candidate in SYSTEM_PYTHONS:
        if os.access(candidate, os.X_OK):
            return Path(candidate)
    raise TljhError("there is no /usr/bin/python3 on this machine", todo="apt-get install python3")
