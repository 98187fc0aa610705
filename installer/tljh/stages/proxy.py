"""What traefik is told: its own settings, the admin's additions, certificates, and the secret of its API."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

from tljh import traefik
from tljh.engine.build import Stage
from tljh.engine.resource import Resource
from tljh.resources.file import File, Secret
from tljh.stages.context import Context


class Proxy(Stage[Context]):
    """traefik's files; the service itself is started by ``services``."""

    name = "proxy"
    priority = 70

    def resources(self, context: Context) -> Iterable[Resource]:
        state = context.paths.state
        yield secret(state / "traefik-api.secret", secrets.token_hex(32))
        yield secret(state / "acme.json", "{}")
        for path, text in traefik.desired_files(context.config, context.paths).items():
            context.written[path] = text.encode()
            yield File.at(path, text, mode="0600")


def secret(path: Path, content: str) -> Secret:
    """A file that only root reads, made once."""
    return Secret(f"file:{path}", content=content.encode(), mode="0600")
