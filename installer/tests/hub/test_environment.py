"""What of the hub's ``PATH`` its users get."""

from __future__ import annotations

from pathlib import Path

from tljh.hub.environment import without_hub
from tljh.paths import Paths


def test_the_hubs_own_programs_are_not_for_users(tmp_path: Path) -> None:
    real, prefix = tmp_path / "disk", tmp_path / "tljh"
    (real / "envs").mkdir(parents=True)
    prefix.symlink_to(real)
    folders = [prefix / "hub" / "bin", prefix / "envs" / "hub-4" / "bin", real / "envs" / "hub-4" / "bin"]
    kept = [Path("/usr/bin"), real / "envs" / "user-2" / "bin"]
    given = ":".join(map(str, [*folders, *kept]))
    assert without_hub(given, Paths(prefix)) == ":".join(map(str, kept))
