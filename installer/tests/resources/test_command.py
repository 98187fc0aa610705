"""The shell scripts ``tljh`` and ``tljh-config``; that they run is tested on real machines."""

from __future__ import annotations

from pathlib import Path

from tljh.resources.command import script


def test_a_script_names_its_prefix_and_command() -> None:
    text = script("tljh-config", Path("/srv/hub"))
    assert text.startswith("#!/bin/sh\n")
    assert "prefix=/srv/hub\n" in text
    assert 'exec "$environment/bin/tljh-config" "$@"' in text
    assert 'exec /usr/bin/python3 -I "$rescue" "$prefix" tljh-config "$@"' in text
