"""``tljh rollback``: back to an earlier generation; the plan is shown first, and what does not go back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tljh.cli.plugin_change import HELP, How, Verb, shared
from tljh.engine.store import Store
from tljh.paths import Paths
from tljh.stages.context import Options

if TYPE_CHECKING:
    from tljh.engine.plan import Change
    from tljh.stages.context import Context
    from tljh.stages.run import Outcome


@click.command(context_settings=HELP)
@click.argument("number", type=click.IntRange(min=0), required=False, metavar="[N]")
@click.option("--exact", is_flag=True, help="Don't carry over what was installed by hand since.")
@click.option("--i-have-a-backup", "own_backup", is_flag=True, help="Of a hub database that is not SQLite's.")
@shared
def rollback(number: int | None, exact: bool, own_backup: bool, how: How) -> None:
    """Bring back what an earlier install left: generation N, or the one before that which is in effect.

    config.yaml, plugins, packages, environments, services and the hub's database are as they were then; what
    would change, and what does not go back, is shown first. People's servers go on.

    \b
    tljh history              which generations there are
    tljh rollback --dry-run   what would change
    tljh rollback             take back the last change
    tljh rollback 4           as it was in generation 4
    """
    from tljh.cli.recorded import check_store
    from tljh.stages.going_back.rollback import before_now, record_of

    paths = Paths.from_environment()
    check_store(paths)
    if number == 0:
        from tljh.cli.rollback_zero import go_back

        go_back(paths, how)
    with Store(paths.store, read_only=True) as store:
        number = before_now(store) if number is None else number
        record_of(store, number)
    options = Options(rollback=number, exact=exact, own_backup=own_backup)
    Back("rollback", (str(number),), options, how, done=f"Back to generation {number}").run()


@dataclass(frozen=True)
class Back(Verb):
    """One rollback on its way."""

    @property
    def argv(self) -> tuple[str, ...]:
        given = {"--exact": self.options.exact, "--i-have-a-backup": self.options.own_backup}
        return ("rollback", *self.words, *(flag for flag, on in given.items() if on), *self.how.argv)

    def said_before(self, context: Context) -> list[str]:
        from tljh.stages.going_back import rollback

        return rollback.notes(context)

    def stays(self, context: Context) -> list[str]:
        from tljh.stages.going_back import rollback

        return [*super().stays(context), *rollback.stays(context)]

    def _said(self, changes: Sequence[Change], stays: Sequence[str], *, applied: bool) -> dict[str, Any]:
        return {"generation": self.options.rollback, **super()._said(changes, stays, applied=applied)}

    def _tell(self, outcome: Outcome, stays: Sequence[str], seconds: float) -> int:
        from tljh.stages.going_back import rollback

        kept = rollback.kept_config(outcome.context)
        if self.how.as_json:
            failed = [*outcome.failed_hooks, *outcome.context.not_done]
            said = self._said(outcome.changes, stays, applied=bool(outcome.changes))
            said["config_kept"] = str(kept) if kept else None
            click.echo(json.dumps({**said, "failed": failed}, indent=1))
            return 1 if failed else 0
        if not outcome.changes and not outcome.refused:
            click.echo(f"Generation {self.options.rollback} is in effect ({seconds:.1f} s).")
            return 0
        status = super()._tell(outcome, stays, seconds)
        if kept:
            click.echo(f"What was in config.yaml and not in effect is kept as {kept}.")
        return status
