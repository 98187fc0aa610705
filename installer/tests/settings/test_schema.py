"""Each setting is declared once, with TLJH's defaults."""

from __future__ import annotations

from pathlib import Path

from tljh.settings import schema
from tljh.settings.reference import reference


def test_the_defaults_are_those_of_tljh() -> None:
    assert schema.defaults() == {
        "base_url": "/",
        "auth": {
            "type": "firstuseauthenticator.FirstUseAuthenticator",
            "FirstUseAuthenticator": {"create_users": False},
        },
        "users": {"allowed": [], "banned": [], "admin": [], "extra_user_groups": {}},
        "limits": {"memory": None, "cpu": None},
        "http": {"address": "", "port": 80},
        "https": {
            "enabled": False,
            "address": "",
            "port": 443,
            "tls": {"key": "", "cert": ""},
            "letsencrypt": {"email": "", "domains": [], "staging": False},
        },
        "traefik_api": {"ip": "127.0.0.1", "port": 8099, "username": "api_admin", "password": ""},
        "user_environment": {
            "default_app": "jupyterlab",
            "provider": "auto",
            "python": "",
            "channels": [],
            "file": "",
            "pypi_names": {},
            "packages": {"conda": [], "pip": []},
        },
        "environments": {},
        "services": {
            "cull": {
                "enabled": True,
                "timeout": 600,
                "every": 60,
                "concurrency": 5,
                "users": False,
                "max_age": 0,
                "remove_named_servers": False,
            }
        },
        "plugins": {},
    }


def test_the_defaults_are_new_each_time() -> None:
    schema.defaults()["users"]["admin"].append("eve")
    schema.defaults()["auth"]["FirstUseAuthenticator"]["create_users"] = True
    assert schema.defaults()["users"]["admin"] == []
    assert schema.defaults()["auth"]["FirstUseAuthenticator"] == {"create_users": False}


def test_every_setting_has_a_type_and_one_sentence() -> None:
    rows = list(schema.describe())
    assert len({row.key for row in rows}) == len(rows)
    for row in rows:
        assert row.sentence.endswith(".")
        assert row.type != "another value", row.key


def test_every_setting_is_in_the_reference() -> None:
    text = (Path(__file__).parents[3] / "docs" / "admin" / "config.md").read_text()
    for row in schema.describe():
        assert f"| `{row.key}` |" in text
        assert row.sentence in text


def test_the_reference_is_made_from_the_schema() -> None:
    text = (Path(__file__).parents[3] / "docs" / "admin" / "config.md").read_text()
    assert text == reference(), "run: python -m tljh.settings.reference > docs/admin/config.md"


def test_finding_a_declaration() -> None:
    field = schema.field_at("user_environment.default_app")
    assert field is not None
    assert schema.choices(field) == ("jupyterlab", "classic", "nteract")
    assert schema.field_at("users.admins") is None
    assert schema.field_at("base_url.x") is None


def test_finding_a_declaration_below_a_name_that_an_admin_chose() -> None:
    field = schema.field_at("environments.gpu.packages.conda")
    assert field is not None
    assert schema.expected(field) == "a list of conda packages, as conda takes them"
    above = schema.field_at("environments.gpu")
    assert above is not None
    assert schema.expected(above) == "a mapping"
    assert schema.field_at("environments.gpu.pakages") is None
    assert schema.field_at("environments.gpu.packages.conda.x") is None


def test_the_keys_of_named_environments_are_described_with_a_placeholder() -> None:
    keys = [row.key for row in schema.describe()]
    assert "environments.<name>.packages.pip" in keys
    assert "environments" not in keys
    assert "environments.<name>.packages" in dict(schema.sections())


def test_a_named_environment_has_its_defaults() -> None:
    nothing = {"title": "gpu", "python": "", "channels": [], "file": "", "packages": {"conda": [], "pip": []}}
    assert schema.named_environment("gpu", None) == nothing
    assert schema.named_environment("gpu", {"packages": None, "python": None}) == nothing
    given = {"title": "With GPUs", "packages": {"conda": ["numpy"], "pip": None}}
    found = schema.named_environment("gpu", given)
    assert found == {**nothing, "title": "With GPUs", "packages": {"conda": ["numpy"], "pip": []}}
    found["packages"]["conda"].append("x")
    assert given["packages"] == {"conda": ["numpy"], "pip": None}
    assert schema.named_environment("gpu", {})["packages"]["conda"] == []
