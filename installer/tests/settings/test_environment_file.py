"""conda's environment.yml: what it asks for, and what is said when it can't be used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tljh.errors import TljhError
from tljh.settings.edit import dump
from tljh.settings.environment_file import EnvironmentFile, parse

PLACE = "https://host/environment.yml"


def refusal(text: str) -> list[str]:
    with pytest.raises(TljhError) as caught:
        parse(text, PLACE)
    return str(caught.value).splitlines()


def test_what_conda_exports_can_be_read() -> None:
    text = """\
name: science
channels:
  - conda-forge/label/dev
  - https://host/channel
  - defaults
  - nodefaults
  - defaults
dependencies:
  - python=3.12.*
  - conda-forge::numpy >=2,<3  # fast
  - libblas=*=*openblas
  - pip
  - pip:
      - torch==2.5
      - mine @ git+https://host/mine@v1
prefix: /home/alice/miniforge3/envs/science
"""
    assert parse(text, PLACE) == EnvironmentFile(
        channels=("conda-forge/label/dev", "https://host/channel", "defaults"),
        conda=("python=3.12.*", "conda-forge::numpy >=2,<3", "libblas=*=*openblas", "pip"),
        pip=("torch==2.5", "mine @ git+https://host/mine@v1"),
    )


@pytest.mark.parametrize(
    "text",
    ["name: x\n", "dependencies:\n", "dependencies: []\n", "channels:\nprefix: 3\n", "dependencies:\n- pip:\n"],
)
def test_what_asks_for_nothing(text: str) -> None:
    assert parse(text, PLACE) == EnvironmentFile()


def test_anchors_and_merges_are_yaml() -> None:
    text = "dependencies: &all\n- numpy\nchannels: *all\n"
    assert parse(text, PLACE) == EnvironmentFile(channels=("numpy",), conda=("numpy",))
    (line, _) = refusal("dependencies:\n- <<: {r: [a]}\n")
    assert line.startswith(f'{PLACE} line 2: "r:" among the dependencies')


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("dependencies: numpy\n", 1, 'dependencies is the text "numpy"; expected a list, one "- " line for each'),
        ("name: x\nchannels: {a: b}\n", 2, 'channels is a mapping; expected a list, one "- " line for each'),
        ("name: [x]\n", 1, "name is a list; expected text"),
        (
            "dependencies: []\nplatforms: [linux-64]\n",
            2,
            "there is no key platforms; an environment.yml has name, prefix, channels and dependencies",
        ),
        (
            "variables:\n  A: b\n",
            1,
            "variables are set by conda when an environment is activated, which does not happen here; set them "
            "for all servers with c.Spawner.environment in a file of jupyterhub_config.d",
        ),
        ("channels:\n- a\n- 1\n", 3, 'item 2 of channels is the number 1; expected text (write "1" in quotes)'),
        ("channels: ['']\n", 1, "item 1 of channels is empty"),
        ("dependencies:\n- a\n-\n", 3, "item 2 of dependencies is nothing; expected text"),
        ("dependencies:\n- true\n", 2, "item 1 of dependencies is true; expected text"),
        (
            "dependencies:\n- python: 3.12\n",
            2,
            '"python:" among the dependencies is a mapping, where a package is expected; write "- python=3.12"',
        ),
        (
            "dependencies:\n- npm: [x]\n",
            2,
            '"npm:" among the dependencies is a mapping, where a package is expected; only "- pip:" may '
            "have a list",
        ),
        ("dependencies: [{}]\n", 1, "an empty mapping among the dependencies, where a package is expected"),
        ("dependencies:\n- -c a b\n", 2, '"-c a b" is an option; only packages can be named in dependencies'),
        ("dependencies:\n- pip: torch\n", 2, 'pip is the text "torch"; expected a list, one "- " line for each'),
        (
            "dependencies:\n- pip:\n  - 3\n",
            3,
            'item 1 of pip is the number 3; expected text (write "3" in quotes)',
        ),
        (
            "dependencies:\n- pip:\n  - torch\n  - -r more.txt\n",
            4,
            '"-r more.txt": no other files are read from here; write what that file names into the pip section',
        ),
        (
            "dependencies:\n- pip:\n  - --requirement=more.txt\n",
            3,
            '"--requirement=more.txt": no other files are read from here; write what that file names into the pip'
            " section",
        ),
        (
            "dependencies:\n- pip:\n  - -e ./mine\n",
            3,
            "\"-e ./mine\": users can't rely on a package that is linked to somebody's folder; name it without "
            '-e, as "NAME @ file:///full/path"',
        ),
        (
            "dependencies:\n- pip:\n  - --extra-index-url https://me:s3cr3t@host/simple\n",
            3,
            '"--extra-index-url https://me:***@host/simple" is an option of pip; set it for the whole machine, in '
            "/etc/pip.conf",
        ),
        (
            "dependencies:\n- pip:\n  - ./mine\n",
            3,
            '"./mine" depends on where this file is; write "NAME @ file:///full/path"',
        ),
    ],
)
def test_what_cannot_be_used(text: str, line: int, words: str) -> None:
    assert refusal(text) == [
        f"{PLACE} line {line}: {words}",
        "  → Correct the file; nothing has been changed.",
    ]


def test_all_that_is_wrong_is_told_at_once() -> None:
    told = refusal("dependencies:\n- pip:\n  - .\n- 3\nfoo: 1\nchannels: a\n")
    begins = [f"{PLACE} line {line}: " for line in (3, 4, 5, 6)]
    assert len(told) == 5
    assert all(sentence.startswith(begin) for sentence, begin in zip(told, begins, strict=False))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("# nothing\n", "it is empty"),
        ("- numpy\n", "it is a list, where keys are expected"),
        ("numpy\n", 'it is the text "numpy", where keys are expected'),
    ],
)
def test_what_is_no_mapping(text: str, words: str) -> None:
    assert refusal(text) == [f"{PLACE}: {words}", '  → Write lines like "dependencies:", "- numpy".']


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dependencies:\n  - a\n - b\n", " line 3, column 2: broken YAML: "),
        ("name: a\nname: b\n", ' line 2, column 1: broken YAML: found duplicate key "name"'),
        ("channels: *c\n", " line 1, column 11: broken YAML: found undefined alias"),
        ("name: a\n---\nname: b\n", " line 2, column 1: broken YAML: "),
        ("\0", ": broken YAML: "),
    ],
)
def test_broken_yaml(text: str, words: str) -> None:
    assert refusal(text)[0].startswith(PLACE + words)


@given(st.text(alphabet=st.sampled_from("ab: -[]{}\n#'\"&*<!|>1.")))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(parse(text, PLACE), EnvironmentFile)
    except TljhError as error:
        assert PLACE in str(error)


NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9.>=*: ]{0,8}[a-z0-9]", fullmatch=True), max_size=4)


@given(NAMES, NAMES, NAMES)
def test_what_is_written_is_read(channels: list[str], conda: list[str], pip: list[str]) -> None:
    text = "".join(dump({"channels": channels, "dependencies": [*conda, {"pip": pip}]}))
    assert YAML(typ="safe").load(text)["channels"] == channels
    found = parse(text, PLACE)
    assert found.conda == tuple(conda)
    assert found.pip == tuple(pip)
    assert found.channels == tuple(dict.fromkeys(name for name in channels if name != "nodefaults"))
