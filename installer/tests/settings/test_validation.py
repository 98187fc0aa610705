"""What is wrong with a config.yaml is said with its line, its key, what was found and what is expected."""

from __future__ import annotations

import pytest
from tljh.errors import TljhError
from tljh.settings.document import Document
from tljh.settings.validation import check, refused, validate


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
