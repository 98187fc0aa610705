"""What is shown in the place of a secret: in config.yaml's text, in a value, in a command."""

from __future__ import annotations

import pytest
from tljh.settings.hidden import in_words, is_secret, stand_in, without_credentials, without_secrets

TEXT = """# the admin's own words stay
auth:
  type: oauthenticator.github.GitHubOAuthenticator
  GitHubOAuthenticator:
    client_id: abc  # not secret
    client_secret: 'geheim # 1'   # behind it
    api_token: |
      line-one
      line-two
    tokens:
      ada: token-of-ada
limits:
  memory: 1G
  channels: ["https://ada:pass-word@example.org/x", "https://c.example.org/t/tk-123/main"]
"""


def test_secrets_of_a_text_are_replaced_and_all_else_stays() -> None:
    shown = without_secrets(TEXT)
    for secret in ("geheim", "line-one", "line-two", "token-of-ada", "pass-word", "tk-123"):
        assert secret not in shown
    assert shown.startswith("# the admin's own words stay\nauth:\n  type: oauthenticator.github")
    assert "    client_id: abc  # not secret\n    client_secret: a secret (" in shown
    assert ")   # behind it\n" in shown
    assert "limits:\n  memory: 1G\n" in shown
    assert "https://ada:***@example.org/x" in shown and "https://c.example.org/t/***/main" in shown


def test_a_secret_in_a_comment() -> None:
    assert without_secrets("a: 1\n# password: old-one\n") == "a: 1\n# password: ***\n"


def test_another_secret_is_another_text_and_the_same_one_the_same() -> None:
    one, other = without_secrets("password: one\n"), without_secrets("password: other\n")
    assert one != other
    assert one == without_secrets("password: one\n") == f"password: {stand_in('one')}\n"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n- b\n", "word\n", "password:\n"])
def test_texts_without_a_secret_stay(text: str) -> None:
    assert without_secrets(text) == text


def test_aliases_hide_what_they_stand_for() -> None:
    shown = without_secrets("x: &a geheim\npassword: *a\ntoken: *a\n")
    assert "geheim" not in shown
    assert without_secrets("a: &a {b: *a}\n") == "a: &a {b: *a}\n"


def test_broken_yaml_still_hides_what_looks_like_a_secret() -> None:
    assert without_secrets("a: [\npassword: geheim\n") == "a: [\npassword: ***\n"


def test_values_in_words() -> None:
    assert in_words(("limits", "memory"), "1G") == '"1G"'
    assert in_words(("auth", "x", "client_secret"), "geheim") == stand_in("geheim")
    assert "geheim" not in in_words(("services",), [{"name": "a", "api_token": "geheim"}])
    assert in_words(("services",), [{"name": "a"}]) == '[{"name": "a"}]'


@pytest.mark.parametrize(
    ("path", "expected"),
    [("auth.x.password", True), ("auth.tokens.ada", True), ("APIKEY", True), ("limits.memory", False)],
)
def test_which_keys_are_secret(path: str, expected: bool) -> None:
    assert is_secret(path.split(".")) is expected


def test_credentials_never_reach_over_the_end_of_a_line() -> None:
    assert without_credentials("password:\n  other: 1\n") == "password:\n  other: 1\n"
