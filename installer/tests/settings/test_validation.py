"""What is wrong with a config.yaml is said with its line, its key, what was found and what is expected."""

from __future__ import annotations

import pytest
from tljh.errors import TljhError
from tljh.settings.document import Document
from tljh.settings.validation import check, refused, validate, without_nothing


def test_other_authenticators_take_other_names() -> None:
    assert not validate(Document("users:\n  admin: ['Ada Lovelace', 'a,b', $(id), Éva]\nauth:\n  type: dummy\n"))
    assert not validate(Document("users:\n  admin: [$(id), Éva, -x, a.b, ada@example.org]\n"))


def said(text: str) -> list[str]:
    return [f"{problem.severity}: {problem.at()}" for problem in validate(Document(text))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "# x\nlimits:\n  memory: [1G]\n",
            'line 3: limits.memory is a list; expected text like "1G", a number of bytes, or nothing',
        ),
        (
            "limits:\n  memory: 1g\n",
            'line 2: limits.memory is the text "1g"; expected text like "1G", a number of bytes, or nothing',
        ),
        (
            "limits:\n  cpu: two\n",
            'line 2: limits.cpu is the text "two"; expected a number of cores above 0, or nothing',
        ),
        (
            "limits:\n  cpu: 0\n",
            "line 2: limits.cpu is the number 0; expected a number of cores above 0, or nothing",
        ),
        ("limits: 3\n", "line 1: limits is the number 3; expected a mapping"),
        ("users:\n  admin: alice\n", 'line 2: users.admin is the text "alice"; expected a list of text'),
        (
            "users:\n  admin:\n  - a\n  - 12\n",
            "line 2: item 2 of users.admin is the number 12; users.admin is expected to be a list of text "
            '(write "12" in quotes)',
        ),
        (
            "users:\n  admin: [ada, 'a b']\n",
            'line 2: item 2 of users.admin is the text "a b", which is no user\'s name: it has a comma or a space',
        ),
        (
            "users:\n  admin: ['']\n",
            "line 2: item 1 of users.admin is an empty text, which is no user's name: it is empty",
        ),
        (
            "users:\n  admin:\n  - ../x\nauth:\n  type: dummy\n",
            'line 2: item 1 of users.admin is the text "../x", which is no user\'s name: it has a "/"',
        ),
        (
            "users:\n  admin: ['a ']\nauth:\n  type: dummy\n",
            'line 2: item 1 of users.admin is the text "a ", which is no user\'s name: it begins or ends with',
        ),
        (
            "users:\n  admin: [..]\n",
            'line 2: item 1 of users.admin is the text "..", which is no user\'s name: it is nothing but dots',
        ),
        (
            "users:\n  extra_user_groups:\n    lab: alice\n",
            'line 3: users.extra_user_groups.lab is the text "alice"; users.extra_user_groups is expected to be '
            "group names, each with a list of user names",
        ),
        ("http:\n  port: '80'\n", 'line 2: http.port is the text "80"; expected a port number from 1 to 65535'),
        (
            "http:\n  port: 99999\n",
            "line 2: http.port is the number 99999; expected a port number from 1 to 65535",
        ),
        ("http:\n  port: true\n", "line 2: http.port is true; expected a port number from 1 to 65535"),
        ("https:\n  enabled: 1\n", "line 2: https.enabled is the number 1; expected true or false"),
        (
            "user_environment:\n  default_app: lab\n",
            'line 2: user_environment.default_app is the text "lab"; expected "jupyterlab", "classic" or '
            '"nteract"',
        ),
        (
            "services:\n  cull:\n    timeout: soon\n",
            'line 3: services.cull.timeout is the text "soon"; expected a number',
        ),
        ("auth:\n  typ: x\n", "line 2: there is no setting auth.typ; did you mean auth.type?"),
        ("auth:\n  dummy: {}\n", "line 2: there is no setting auth.dummy; expected type, or a class name such as"),
        ("auth:\n  Foo: 3\n", "line 2: auth.Foo is the number 3; expected a mapping of traits"),
        ("plugins: [a]\n", "line 1: plugins is a list; expected plugin names, each with a mapping"),
        ("plugins:\n  a: 1\n", "line 2: plugins.a is the number 1; plugins is expected to be plugin names"),
        (
            "user_environment:\n  python: 3.10\n",
            'line 2: user_environment.python is the number 3.1; expected text like "3.12" '
            '(YAML drops the last zero of a number; write it in quotes: "3.10")',
        ),
        (
            "user_environment:\n  python: '>=3.11'\n",
            'line 2: user_environment.python is the text ">=3.11"; expected text like "3.12"',
        ),
        (
            "user_environment:\n  python: 3\n",
            'line 2: user_environment.python is the number 3; expected text like "3.12"',
        ),
        (
            "user_environment:\n  channels: conda-forge\n",
            'line 2: user_environment.channels is the text "conda-forge"; expected a list of channels, by names '
            "or URLs",
        ),
        (
            "user_environment:\n  channels: [conda-forge, 'a, b']\n",
            "line 2: user_environment.channels is a list; expected a list of channels, by names or URLs "
            '(item 2, "a, b", is neither the name of a channel nor a URL)',
        ),
        (
            "user_environment:\n  packages: [numpy]\n",
            "line 2: user_environment.packages is a list; expected a mapping",
        ),
        (
            "user_environment:\n  packages:\n    conda:\n    - numpy\n    - 3.1\n",
            "line 3: item 2 of user_environment.packages.conda is the number 3.1; user_environment.packages.conda "
            'is expected to be a list of conda packages, as conda takes them (write "3.1" in quotes)',
        ),
        (
            "user_environment:\n  packages:\n    pip: ['-r x.txt']\n",
            "line 3: user_environment.packages.pip is a list; expected a list of requirements, as pip takes them "
            '(item 1, "-r x.txt", is an option; only packages can be named here)',
        ),
        (
            "user_environment:\n  packages:\n    pip: [numpy, ' ']\n",
            "line 3: user_environment.packages.pip is a list; expected a list of requirements, as pip takes them "
            "(item 2 is empty)",
        ),
        (
            "user_environment:\n  file: environment.yml\n",
            'line 2: user_environment.file is the text "environment.yml"; expected the full path or the https URL '
            "of a file",
        ),
        (
            "user_environment:\n  pypi_names:\n    pytorch: [torch]\n",
            "line 3: user_environment.pypi_names.pytorch is a list; user_environment.pypi_names is expected to be "
            "names of conda packages, each with a requirement of PyPI",
        ),
        ("environments: [gpu]\n", "line 1: environments is a list; expected names of environments, each with a"),
        ("environments:\n  gpu: [numpy]\n", "line 2: environments.gpu is a list; expected a mapping"),
        (
            "environments:\n  gpu:\n    python: 3.20\n",
            'line 3: environments.gpu.python is the number 3.2; expected text like "3.12" (YAML drops',
        ),
        (
            "environments:\n  gpu:\n    packages:\n      pip: torch\n",
            'line 4: environments.gpu.packages.pip is the text "torch"; expected a list of requirements, as pip',
        ),
        (
            "environments:\n  GPU:\n",
            'line 2: no environment can be called "GPU": a name is lower-case letters, digits, - and _, and '
            "begins with a letter",
        ),
        ("environments:\n  12: {}\n", 'line 2: no environment can be called "12": a name is lower-case letters'),
        (
            "environments:\n  base:\n    title: x\n",
            'line 2: no environment can be called "base": hub, user and base are taken',
        ),
        (
            "environments:\n  gpu-2: {}\n",
            'line 2: no environment can be called "gpu-2": it ends in - and a number, which environments are '
            "numbered with when they are built",
        ),
        (
            f"environments:\n  {'a' * 31}: {{}}\n",
            f'line 2: no environment can be called "{"a" * 31}": a name has at most 30 characters, this has 31',
        ),
    ],
)
def test_errors(text: str, words: str) -> None:
    (sentence,) = said(text)
    assert sentence.startswith(f"error: config.yaml {words}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "user: {}\n",
            "config.yaml line 1: user is not a setting of ours; did you mean users?; it is kept, plugins may use "
            "it",
        ),
        (
            "limits:\n  memroy: 1G\n",
            "config.yaml line 2: there is no setting limits.memroy; did you mean limits.memory?",
        ),
        ("limits:\n  disk: 1G\n", "config.yaml line 2: there is no setting limits.disk; limits has memory, cpu"),
        (
            "environments:\n  gpu:\n    chanels: [a]\n",
            "config.yaml line 3: there is no setting environments.gpu.chanels; did you mean "
            "environments.gpu.channels?",
        ),
        (
            "user_environment:\n  packages:\n    apt: [a]\n",
            "config.yaml line 3: there is no setting user_environment.packages.apt; user_environment.packages has "
            "conda, pip",
        ),
        ("http: {prot: 8}\n", "config.yaml line 1: there is no setting http.prot; did you mean http.port?"),
    ],
)
def test_warnings(text: str, words: str) -> None:
    assert said(text) == [f"warning: {words}"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quota:\n  default: 1G\nplasma: [1]\n12: 3\n",
        "limits:\n  memory: 1073741824\n  cpu: 1.5\n",
        "limits:\n  memory: 1.5G\n  cpu: 2\n",
        "limits:\n  memory: null\n  cpu:\n",
        "users:\nhttps:\n  tls:\n",
        "auth:\n  type: oauthenticator.github.GitHubOAuthenticator\n  GitHubOAuthenticator:\n    client_id: a\n",
        "auth:\n  Empty:\n",
        "auth:\n  FirstUseAuthenticator:\n    create_users: true\n    anything: [1]\n",
        "plugins:\n  simplest:\n    colour: red\n",
        "users:\n  extra_user_groups:\n    lab: [alice, bob]\n",
        "user_environment:\n  python: 3.12\n",
        "user_environment:\n  python: 3.12.4\n",
        "user_environment:\n  python: '3.10'\n  packages:\n",
        "user_environment:\n  channels: [conda-forge/label/dev, 'http://127.0.0.1:8/c', 'file:///c', /c]\n",
        "user_environment:\n  packages:\n    conda: ['numpy >=2', 'pkgs/main::scipy']\n    pip: ['a @ https://b/c']\n",
        "user_environment:\n  pypi_names: {pytorch: 'torch>=2'}\n  file: https://host/environment.yml\n",
        "environments:\n  gpu:\n  r_4-x:\n    title: R\n    python: '3.13'\n    channels: [a]\n    file: /x.yml\n",
        f"environments:\n  {'a' * 30}:\n    packages:\n      conda:\n",
    ],
)
def test_what_is_right(text: str) -> None:
    assert said(text) == []


def test_problems_are_in_the_order_of_the_lines() -> None:
    problems = validate(Document("https: 1\nlimits:\n  cpu: x\n  mem: 1\nusers: 2\n"))
    assert [problem.line for problem in problems] == [1, 3, 4, 5]


def test_plain_settings_have_no_lines() -> None:
    (problem,) = validate({"limits": {"cpu": "x"}})
    assert (
        problem.at() == 'config.yaml: limits.cpu is the text "x"; expected a number of cores above 0, or nothing'
    )


def test_check_raises_every_error_and_returns_the_warnings() -> None:
    assert [problem.key for problem in check(Document("user: 1\n"))] == ["user"]
    with pytest.raises(TljhError) as error:
        check(Document("http: 1\nusers:\n  admin: x\n"), "my.yaml")
    assert str(error.value).splitlines() == [
        "my.yaml line 1: http is the number 1; expected a mapping",
        'my.yaml line 3: users.admin is the text "x"; expected a list of text',
        "  → To add to the list: tljh-config add-item users.admin …",
    ]


def test_what_may_not_be_written_by_a_command() -> None:
    problems = validate({"user": 1, "limits": {"disk": 1}, "http": {"port": 0}})
    assert {problem.key for problem in refused(problems)} == {"limits.disk", "http.port"}


def test_an_environment_of_which_nothing_is_said_is_one_all_the_same() -> None:
    given = {"environments": {"gpu": None, "r": {"python": None, "packages": {"pip": None}}}, "users": None}
    assert without_nothing(given) == {"environments": {"gpu": {}, "r": {"packages": {}}}}


def test_an_environment_keeps_what_a_newer_version_may_know() -> None:
    assert without_nothing({"environments": {"gpu": {"colour": None}}}) == {
        "environments": {"gpu": {"colour": None}}
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plugins:\n", []),
        ("plugins:\n  x:\n", []),
        ("plugins:\n  x: {anything: [1]}\n", []),
        (
            "plugins:\n  x: 3\n",
            ["c line 2: plugins.x is the number 3; plugins is expected to be plugin names, each with a mapping"],
        ),
        ("plugins: [a]\n", ["c line 1: plugins is a list; expected plugin names, each with a mapping"]),
        ("plugins:\n  3: {}\n", ['c line 2: plugins has the name 3, which is no text; write "3" in quotes']),
        (
            "plugins:\n  3: 4\n",
            [
                "c line 2: plugins.3 is the number 4; plugins is expected to be plugin names, each with a mapping",
                'c line 2: plugins has the name 3, which is no text; write "3" in quotes',
            ],
        ),
    ],
)
def test_settings_of_plugins(text: str, words: list[str]) -> None:
    assert [problem.at("c") for problem in validate(Document(text, "c"))] == words


def test_a_name_that_yaml_takes_for_something_else() -> None:
    """Whatever it is, it is told."""
    found = [problem.text for problem in validate(Document("plugins:\n  true: x\n  null: 3\n"))]
    assert 'plugins has the name True, which is no text; write "True" in quotes' in found
    assert 'plugins.True is the text "x"; plugins is expected to be plugin names, each with a mapping' in found
