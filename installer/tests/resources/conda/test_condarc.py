"""conda's own configuration: where it is, what it says, and who wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tljh.errors import TljhError
from tljh.resources.conda import condarc
from tljh.resources.conda.condarc import merged, of_text, of_variables, places, read_sources


def source(text: str, place: str = "/etc/conda/.condarc", **environment: str) -> condarc.Source:
    return of_text(text, place, environment)


def refusal(text: str) -> str:
    with pytest.raises(TljhError) as caught:
        source(text)
    return str(caught.value)


# ---- where


def test_conda_looks_in_this_order() -> None:
    found = list(places({"XDG_CONFIG_HOME": "/x", "CONDARC": "/c.yml"}, "/home/a", "/opt/tljh/user"))
    assert found == [
        "/etc/conda/.condarc",
        "/etc/conda/condarc",
        "/etc/conda/condarc.d/",
        "/var/lib/conda/.condarc",
        "/var/lib/conda/condarc",
        "/var/lib/conda/condarc.d/",
        "/x/conda/.condarc",
        "/x/conda/condarc",
        "/x/conda/condarc.d/",
        "/home/a/.config/conda/.condarc",
        "/home/a/.config/conda/condarc",
        "/home/a/.config/conda/condarc.d/",
        "/home/a/.conda/.condarc",
        "/home/a/.conda/condarc",
        "/home/a/.conda/condarc.d/",
        "/home/a/.condarc",
        "/opt/tljh/user/.condarc",
        "/opt/tljh/user/condarc",
        "/opt/tljh/user/condarc.d/",
        "/c.yml",
    ]


def test_what_is_not_set_is_not_looked_at() -> None:
    found = list(places({"CONDA_PREFIX": "/somebody/else"}, "/root", "/opt/tljh/user"))
    assert not [place for place in found if "$" in place or "somebody" in place]
    assert len(found) == 16


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    folder = tmp_path / ".conda" / "condarc.d"
    folder.mkdir(parents=True)
    for name in ("b.yml", "a.yaml", "notes.txt", ".condarc"):
        (folder / name).write_text(f"channels: [{name}]\n")
    (tmp_path / ".condarc").write_text("channels: [home]\n")
    (tmp_path / "mine.yml").write_text("channels: [named]\n")
    environment = {"CONDARC": str(tmp_path / "mine.yml"), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    sources = read_sources(environment, str(tmp_path), str(tmp_path / "none"))
    ours = [item for item in sources if item.place.startswith(str(tmp_path))]
    assert [item.values["channels"] for item in ours] == [["a.yaml"], ["b.yml"], ["home"], ["named"]]
    assert sources[-1].place == "the environment"


def test_a_file_that_two_places_name_is_read_once(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "conda"
    folder.mkdir(parents=True)
    (folder / "condarc").write_text("channels: [a]\n")
    sources = read_sources({"XDG_CONFIG_HOME": str(tmp_path / ".config")}, str(tmp_path), "/none")
    assert len([item for item in sources if item.place == str(folder / "condarc")]) == 1


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / ".condarc").write_bytes(b"channels: [\xff]\n")
    with pytest.raises(TljhError, match=r"\.condarc is not text in UTF-8"):
        read_sources({}, str(tmp_path), "/none")


# ---- what one says


def test_what_is_not_for_us_is_not_looked_at() -> None:
    assert source("auto_activate_base: 3\nchannel_priority: [x]\n").values == {}
    assert source("").values == source("# nothing\n").values == source("channels:\n").values == {}


def test_other_names_of_the_same_keys() -> None:
    found = source("channel: [a]\nverify_ssl: false\nclient_cert: /x\nwhitelist_channels: [b]\n")
    assert found.values == {
        "channels": ["a"],
        "ssl_verify": False,
        "client_ssl_cert": "/x",
        "allowlist_channels": ["b"],
    }


def test_variables_are_replaced() -> None:
    found = source(
        "channels: ['https://${USER}:$PASSWORD@host/c', '$MISSING/x']\n"
        "custom_channels: {a: 'https://$HOST/x'}\n"
        "custom_multichannels: {b: ['${HOST}']}\n"
        "ssl_verify: $CA\n",
        USER="me",
        PASSWORD="s3cr3t",
        HOST="h",
        CA="/ca.pem",
    )
    assert found.values == {
        "channels": ["https://me:s3cr3t@host/c", "$MISSING/x"],
        "custom_channels": {"a": "https://h/x"},
        "custom_multichannels": {"b": ["h"]},
        "ssl_verify": "/ca.pem",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channels: a\n", "channels is expected to be a list of text"),
        ("channels: [1]\n", "channels is expected to be a list of text"),
        ("channel_alias: [a]\n", "channel_alias is expected to be text"),
        ("proxy_servers: http://p\n", "proxy_servers is expected to be a mapping"),
        ("mirrored_channels: {a: b}\n", "mirrored_channels is expected to be a mapping of names to lists"),
        ("remote_read_timeout_secs: soon\n", "remote_read_timeout_secs is expected to be a number"),
        ("- a\n", "it holds no keys"),
    ],
)
def test_what_cannot_be_right(text: str, words: str) -> None:
    assert refusal(text) == f"/etc/conda/.condarc: {words}\n  → {todo_of(words)}"


def todo_of(words: str) -> str:
    return 'Write lines like "channels:", "- conda-forge".' if words == "it holds no keys" else "Correct it."


def test_broken_yaml_has_its_line() -> None:
    told = refusal("channels:\n- a\n\tb: c\n")
    assert told.startswith("/etc/conda/.condarc line 3: broken YAML: ")
    assert told.endswith("→ Correct that line.")


def test_what_variables_of_the_environment_say() -> None:
    found = of_variables(
        {
            "CONDA_CHANNELS": "a, b,",
            "CONDA_CHANNEL_ALIAS": "https://alias",
            "CONDA_SSL_VERIFY": "false",
            "CONDA_REMOTE_READ_TIMEOUT_SECS": "12.5",
            "CONDA_OFFLINE": "",
            "CONDA_PROXY_SERVERS": "http://p",
            "CONDA_PREFIX": "/x",
        }
    )
    assert found.values == {
        "channels": ["a", "b"],
        "channel_alias": "https://alias",
        "ssl_verify": "false",
        "remote_read_timeout_secs": 12.5,
    }


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(TljhError, match=r"^CONDA_REMOTE_MAX_RETRIES: remote_max_retries is expected to be a num"):
        of_variables({"CONDA_REMOTE_MAX_RETRIES": "many"})


# ---- and all together


def together(*texts: str) -> dict[str, Any]:
    return dict(merged([source(text, f"file {number}") for number, text in enumerate(texts, 1)]).values)


def test_later_values_win_and_lists_and_mappings_are_merged() -> None:
    assert together(
        "channel_alias: https://a\nchannels: [x, y]\ncustom_channels: {k: https://1, l: https://2}\n",
        "channel_alias: https://b\nchannels: [z, x]\ncustom_channels: {l: https://3, m: https://4}\n",
    ) == {
        "channel_alias": "https://b",
        "channels": ["z", "x", "y"],
        "custom_channels": {"l": "https://3", "m": "https://4", "k": "https://1"},
    }


def test_lists_in_a_mapping_are_merged_too() -> None:
    found = together("custom_multichannels: {a: [x]}\n", "custom_multichannels: {a: [y], b: [z]}\n")
    assert found == {"custom_multichannels": {"a": ["y", "x"], "b": ["z"]}}


def test_what_is_final_is_not_changed_any_more() -> None:
    assert together(
        "channel_alias: https://a\n",
        "channel_alias: https://b  #!final\nchannels:  #!final\n- x\n",
        "channel_alias: https://c\nchannels: [y]\nssl_verify: false\n",
    ) == {"channel_alias": "https://b", "channels": ["x"], "ssl_verify": False}


def test_final_by_another_name() -> None:
    assert together("verify_ssl: /ca.pem #!final\n", "ssl_verify: false\n") == {"ssl_verify": "/ca.pem"}


def test_who_won_is_known() -> None:
    found = merged([source("offline: true\n", "one"), source("channels: [a]\n", "two")])
    assert found.places == {"offline": "one", "channels": "two"}
    assert found.get("offline") is True
    assert found.get("ssl_verify", "default") == "default"
