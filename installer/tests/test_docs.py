"""The documents are complete and true: flags, variables, hooks, settings, commands and links."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import click
import pytest
from tljh.cli import cli
from tljh.cli.config import group as tljh_config
from tljh.plugins.loading import SPECS
from tljh.settings import schema

ROOT = Path(__file__).parents[2]
ADMIN = ROOT / "docs" / "admin"
# where an admin looks for flags and variables, and where a maintainer does
FOR_ADMINS = [ROOT / "README.md", *sorted(ADMIN.glob("*.md"))]
FOR_ALL = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_OURS = (".git", ".venv", "output", "node_modules", "build", "dist")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def text_of(files: Sequence[Path]) -> str:
    return "\n".join(file.read_text() for file in files)


def mentions(text: str, word: str) -> bool:
    """Whether a text has this very word: ``--admin`` is not mentioned by ``--admin-password-file``."""
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


# ---- what there is


def bootstrap_file() -> ModuleType:
    """``bootstrap.py``, by its path: for pytest ``bootstrap`` is the folder that it is in."""
    spec = importlib.util.spec_from_file_location("bootstrap_of_docs", ROOT / "bootstrap" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def flags_of_bootstrap() -> list[str]:
    """The flags that bootstrap takes itself, as its parser has them."""
    bootstrap = bootstrap_file()
    found: list[str] = []

    class Seen(bootstrap._Parser):
        def parse_known_args(self, *args, **kwargs):
            found.extend(flag for action in self._actions for flag in action.option_strings)
            nothing = {"admin": [], "plugin": [], "version": "", "bundle": "", "restore": ""}
            return argparse.Namespace(**nothing, show_progress_page=False), []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "_Parser", Seen)
        bootstrap.parse_arguments([])
    return found


def commands_below(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it, with their full names."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from commands_below(found, f"{name} {below}")


COMMANDS = dict([*commands_below(cli, "tljh"), *commands_below(tljh_config, "tljh-config")])


def flags_of(command: click.Command) -> list[str]:
    """The flags that ``--help`` shows, ``--help`` among them."""
    options = [p for p in command.get_params(click.Context(command)) if isinstance(p, click.Option)]
    return [flag for option in options if not option.hidden for flag in (*option.opts, *option.secondary_opts)]


def variables_in_code() -> set[str]:
    files = [ROOT / "bootstrap" / "bootstrap.py"]
    for folder in ("installer/tljh", "integration-tests"):
        files += [file for ending in ("*.py", "*.sh") for file in (ROOT / folder).rglob(ending)]
    found = re.findall(r"(?<!\w)TLJH_[A-Z_]+[A-Z]", text_of([file for file in files if is_ours(file)]))
    return set(found)


def is_ours(file: Path) -> bool:
    return not set(NOT_OURS) & set(file.relative_to(ROOT).parts)


def documents() -> list[Path]:
    """Every Markdown file of the project."""
    found = []
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in NOT_OURS and not name.endswith("_cache")]
        found += [Path(folder, name) for name in files if name.endswith(".md")]
    return sorted(found)


# ---- it is documented


@pytest.mark.parametrize("flag", flags_of_bootstrap())
def test_a_flag_of_bootstrap_is_documented(flag: str) -> None:
    assert mentions((ADMIN / "install.md").read_text(), flag), f"docs/admin/install.md does not mention {flag}"


def test_bootstraps_own_flags_were_found() -> None:
    assert {"--admin", "--plugin", "--version", "--show-progress-page"} <= set(flags_of_bootstrap())


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("tljh", "tljh-config")])
def test_a_command_is_documented(name: str) -> None:
    # "tljh config show" is the same command as "tljh-config show"
    names = {name, name.replace("tljh config ", "tljh-config ")}
    text = (ADMIN / "commands.md").read_text()
    assert any(mentions(text, each) for each in names), f"docs/admin/commands.md does not mention {name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_flags_of_a_command_are_documented(name: str) -> None:
    text = (ADMIN / "commands.md").read_text() + (ADMIN / "install.md").read_text()
    missing = [flag for flag in flags_of(COMMANDS[name]) if not mentions(text, flag)]
    assert not missing, f"neither commands.md nor install.md in docs/admin mentions {missing} of {name}"


def test_every_variable_is_documented() -> None:
    text = text_of(FOR_ALL)
    missing = sorted(name for name in variables_in_code() if not mentions(text, name))
    assert not missing, f"neither README.md nor docs/ mentions {missing}"


@pytest.mark.parametrize("hook", SPECS)
def test_a_hook_is_documented(hook: str) -> None:
    assert mentions((ROOT / "docs" / "plugins" / "hooks.md").read_text(), hook)


@pytest.mark.parametrize("key", [row.key for row in schema.describe()])
def test_a_setting_is_documented(key: str) -> None:
    assert f"| `{key}` |" in (ADMIN / "config.md").read_text()


# ---- and what is documented is there


def shown_commands() -> list[str]:
    """The lines of the documents' shell blocks that call one of our commands."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text_of(FOR_ALL), re.MULTILINE | re.DOTALL)
    found = []
    for line in "".join(blocks).replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\||;", line.partition(" #")[0]):
            called = re.search(r"(?:^|[\s/])(tljh(?:-config)?(?: .*)?)$", part.strip())
            if called and not part.strip().startswith(("eval", "docker run", "mkdir", "cd", "python", "df", "ln")):
                found.append(called[1])
    return list(dict.fromkeys(found))


def test_shown_commands_were_found() -> None:
    assert {"tljh plan", "tljh-config reload"} <= set(shown_commands())


@pytest.mark.parametrize("line", shown_commands())
def test_a_command_that_is_shown_exists(line: str) -> None:
    words = shlex.split(line)
    name = words[0]
    while len(words) > 1 and f"{name} {words[1]}" in COMMANDS:
        name += " " + words.pop(1)
    found = COMMANDS[name]
    listing = isinstance(found, click.Group) and found.invoke_without_command
    assert listing or not isinstance(found, click.Group), f"{line}: there is no such command below {name}"
    flags = [word.partition("=")[0] for word in words[1:] if word.startswith("-")]
    known = {*flags_of(COMMANDS[name]), *flags_of(COMMANDS[name.split()[0]])}
    assert set(flags) <= known, f"{line}: {name} has no {sorted(set(flags) - known)}"


def test_a_variable_that_is_documented_is_in_the_code() -> None:
    named = set(re.findall(r"(?<!\w)TLJH_[A-Z_]+[A-Z]", text_of(FOR_ALL)))
    assert named <= variables_in_code()


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{document.relative_to(ROOT)}: {target} leads nowhere"
        assert not anchor or anchor in headings(file), f"{document.relative_to(ROOT)}: no heading {target}"


def headings(document: Path) -> set[str]:
    """The anchors of a document's headings, as code hosting sites make them."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_of_the_docs_folder_can_be_found(document: Path) -> None:
    """Every page below docs/ is linked from another one."""
    if ROOT / "docs" not in document.parents:
        return
    others = [other for other in documents() if other != document]
    linked = {
        (other.parent / target.partition("#")[0]).resolve()
        for other in others
        for target in LINK.findall(other.read_text())
    }
    assert document in linked, f"no page links to {document.relative_to(ROOT)}"


# ---- modules


def test_modules_that_the_maintainers_pages_name_are_there() -> None:
    folders = [ROOT / name for name in ("installer", "bootstrap", "integration-tests")]
    there = {f"/{path.relative_to(ROOT)}" for folder in folders for path in folder.rglob("*.py")}
    text = text_of([*sorted((ROOT / "docs" / "maintainers").glob("*.md")), ROOT / "CONTRIBUTING.md"])
    named = set(re.findall(r"`([\w/-]+\.py)`", text)) - {"setup.py"}
    assert len(named) > 50
    assert sorted(name for name in named if not any(path.endswith(f"/{name}") for path in there)) == []
