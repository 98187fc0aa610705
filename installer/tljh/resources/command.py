"""The programs ``tljh`` and ``tljh-config``: small shell scripts that outlive the Python that they start.

After an upgrade of the system the interpreter of the hub environment may be gone, or be another version that looks
for packages elsewhere. Who types ``tljh`` then must get an answer: ``tljh.rescue`` gives it.
"""

from __future__ import annotations

from pathlib import Path


def script(name: str, prefix: Path) -> str:
    """The text of ``<prefix>/bin/<name>``."""
    return f"""#!/bin/sh
# Starts {name} in the hub environment that serves. Written by the installer; changes here do not last.
prefix={prefix}
environment=$(readlink -f "$prefix/hub")
python=$(readlink -f "$environment/bin/python")
case ${{python##*/}} in
    python3.*) packages=$environment/lib/${{python##*/}}/site-packages ;;
    *) packages=$environment ;;
esac
if [ -x "$python" ] && [ -d "$packages" ]; then
    exec "$environment/bin/{name}" "$@"
fi
for rescue in "$environment"/lib/python3*/site-packages/tljh/rescue.py; do
    if [ -f "$rescue" ]; then exec /usr/bin/python3 -I "$rescue" "$prefix" {name} "$@"; fi
done
echo "{name}: the hub environment $environment is not there, or not whole" >&2
echo "  → run the bootstrap command again that you installed with: users, files and packages stay" >&2
exit 1
"""
