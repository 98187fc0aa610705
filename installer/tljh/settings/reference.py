"""The reference of all keys, docs/admin/config.md, made from the schema.

``python -m tljh.settings.reference > docs/admin/config.md`` writes it anew; a test fails when it is stale.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tljh.settings.schema import Row, describe, sections

HEAD = """\
# Every setting of config.yaml

The settings are in `/opt/tljh/config/config.yaml`. Change them with `sudo tljh-config`, which checks them and
keeps your comments, or in an editor; then have them take effect:

    sudo tljh-config set limits.memory 1G
    sudo tljh-config add-item users.admin alice
    sudo tljh-config reload

`http` and `https` take effect with `sudo tljh-config reload proxy`, `traefik_api` with both reloads, first the
proxy's, and `environments` and all of `user_environment` but its `default_app` with the next `sudo tljh install`.
A setting that is missing, or is there without a value, has its default. An empty or missing file means the
defaults throughout.

A value is read as nothing (`none`), a number, `true` or `false`, or text. Where text is wanted, digits stay text:
`tljh-config add-item users.allowed 1234` allows the user `1234`.

A value of the wrong type is refused, with its line and what is expected. Unknown keys at the top level are kept,
because plugins use them (`quota`, `plasma` …); unknown keys inside the sections below are refused by `tljh-config`
(unless `--no-validate` is given), and reported when the hub starts.

"""

TAIL = """\
## More of traefik

Files `/opt/tljh/config/traefik_config.d/*.toml` are merged into traefik's configuration in the order of their
names, over what is made from config.yaml. Tables `http`, `tcp`, `udp` and `tls` go to its dynamic configuration,
all others to the static one. To get certificates from another ACME server than Let's Encrypt, for example:

    [certificatesResolvers.letsencrypt.acme]
    caServer = "https://acme.example.org/directory"
    caCertificates = ["/etc/ssl/example-ca.pem"]
"""


def reference() -> str:
    """The text of docs/admin/config.md."""
    return HEAD + "\n".join(_sections()) + "\n" + TAIL


def _sections() -> Iterator[str]:
    rows = list(describe())
    titles = {"": "Keys at the top level.", **dict(sections())}
    for prefix, sentence in titles.items():
        mine = [row for row in rows if row.key.rpartition(".")[0] == prefix or _is_trait(row, prefix)]
        if not mine:
            continue
        # a name in angle brackets would be HTML
        heading = f"`{prefix}`" if "<" in prefix else prefix
        yield f"## {heading}\n" if prefix else "## The top level\n"
        yield f"{sentence}\n"
        yield "| key | value | default | what it does |\n| --- | --- | --- | --- |"
        yield from (f"| `{row.key}` | {row.type} | {_shown(row)} | {row.sentence} |" for row in mine)
        yield ""


def _is_trait(row: Row, prefix: str) -> bool:
    return prefix == "auth" and row.key.startswith("auth.<")


def _shown(row: Row) -> str:
    value: Any = row.default
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict) and value:
        return ", ".join(f"`{key}: {str(item).lower()}`" for key, item in value.items())
    return "none" if value in ([], {}) else f"`{value}`"


if __name__ == "__main__":
    print(reference(), end="")
