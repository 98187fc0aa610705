"""The document keeps what an admin typed, and its file is written whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tljh.engine import lock
from tljh.engine.machine import Machine
from tljh.errors import TljhError
from tljh.settings.document import Document, edit, locked, parts

TYPED = """\
# our hub
users:  # people
  admin:
  - alice   # since 2019
  - 'bob'

# what each may take
limits:
  memory: '1G'  # per user
  cpu:

quota: {default: 5G}  # a plugin's
"""


def test_nothing_or_only_comments_means_no_settings() -> None:
    assert Document("").as_dict() == {}
    assert Document("# later\n\n").as_dict() == {}


def test_a_missing_file_means_no_settings(tmp_path: Path) -> None:
    assert Document.load(tmp_path / "config.yaml").as_dict() == {}


def test_reading_changes_nothing() -> None:
    assert Document(TYPED).dumps() == TYPED


def test_setting_a_value_touches_its_word_only() -> None:
    document = Document(TYPED)
    document.set("limits.memory", "2G")
    assert document.dumps() == TYPED.replace("'1G'", "'2G'")


def test_setting_a_key_that_says_nothing() -> None:
    document = Document(TYPED)
    document.set("limits.cpu", 2)
    assert document.dumps() == TYPED.replace("cpu:\n", "cpu: 2\n")


def test_adding_an_item_leaves_the_comments_of_the_next_section_there() -> None:
    document = Document(TYPED)
    document.add_item("users.admin", "carol")
    assert document.dumps() == TYPED.replace("  - 'bob'\n", "  - 'bob'\n  - carol\n")


def test_removing_an_item_takes_its_line_only() -> None:
    document = Document(TYPED)
    document.remove_item("users.admin", "bob")
    assert document.dumps() == TYPED.replace("  - 'bob'\n", "")


def test_removing_the_last_item_leaves_an_empty_list() -> None:
    document = Document(TYPED)
    document.remove_item("users.admin", "bob")
    document.remove_item("users.admin", "alice")
    assert "  admin: []\n\n# what each may take\n" in document.dumps()
    document.add_item("users.admin", "dave")
    assert "  admin:\n  - dave\n\n# what each may take\n" in document.dumps()


def test_unset_takes_mappings_that_it_empties_and_no_comment_of_others() -> None:
    document = Document(TYPED)
    document.unset("users.admin")
    assert document.dumps() == TYPED[: TYPED.index("users:")] + TYPED[TYPED.index("\n# what") :]


def test_a_new_section_goes_to_the_end() -> None:
    document = Document(TYPED)
    document.set("https.tls.cert", "/etc/cert.pem")
    assert document.dumps() == TYPED + "https:\n  tls:\n    cert: /etc/cert.pem\n"


def test_a_new_key_goes_into_its_section() -> None:
    document = Document(TYPED)
    document.set("users.banned", ["eve"])
    assert "  - 'bob'\n  banned:\n  - eve\n\n# what each may take\n" in document.dumps()


def test_flow_style_and_its_comment_are_kept() -> None:
    document = Document(TYPED)
    document.set("quota.default", "6G")
    assert document.dumps() == TYPED.replace("5G", "6G")


def test_comments_stay_when_the_first_key_is_set() -> None:
    document = Document("# written by the admin\n")
    document.set("limits.cpu", 1)
    assert document.dumps() == "# written by the admin\nlimits:\n  cpu: 1\n"


def test_an_alias_is_not_mistaken_for_its_anchor() -> None:
    document = Document("a: &people\n- x\nusers:\n  admin: *people\n")
    document.add_item("users.admin", "y")
    assert document.get("users.admin") == ["x", "y"]


def test_a_value_in_the_way_becomes_a_mapping() -> None:
    document = Document("a: b\n")
    document.set("a.b", "d")
    assert document.as_dict() == {"a": {"b": "d"}}


def test_text_that_looks_like_something_else_stays_text() -> None:
    document = Document("users:\n  admin:\n")
    for name in ("1234", "true", "no: comment # here", "null"):
        document.add_item("users.admin", name)
    assert Document(document.dumps()).get("users.admin") == ["1234", "true", "no: comment # here", "null"]


def test_a_file_without_a_last_newline() -> None:
    document = Document("limits:\n  cpu: 1")
    document.set("limits.memory", "1G")
    assert document.dumps() == "limits:\n  cpu: 1\n  memory: 1G\n"


def test_what_it_gives_away_is_not_its_own() -> None:
    document = Document(TYPED)
    document.as_dict()["users"]["admin"].append("eve")
    document.get("users.admin").append("eve")
    document.mapping()["users"]["admin"].append("eve")
    assert document.get("users.admin") == ["alice", "bob"]


def test_lines_are_counted_from_one() -> None:
    assert Document(TYPED).line("limits.memory") == 9
    assert Document(TYPED).line("limits.disk") is None


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (lambda d: d.unset("limits.disk"), "limits.disk is not set"),
        (lambda d: d.add_item("limits.memory", "x"), "limits.memory is not a list"),
        (lambda d: d.remove_item("limits.memory", "x"), "limits.memory is not a list"),
        (lambda d: d.remove_item("users.banned", "x"), "users.banned is not set"),
        (lambda d: d.remove_item("users.admin", "x"), "users.admin doesn't hold x; it holds alice, bob"),
        (lambda d: d.set("a..b", "x"), '"a..b" is not a key'),
    ],
)
def test_what_can_not_be_done_is_said_and_changes_nothing(verb, words: str) -> None:
    document = Document(TYPED)
    with pytest.raises(TljhError, match=words):
        verb(document)
    assert document.dumps() == TYPED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("users:\n  admin: [a\nx: 1\n", r"config.yaml line \d, column \d+: broken YAML: "),
        ("a: 1\na: 2\n", 'config.yaml line 2, column 1: broken YAML: found duplicate key "a"'),
        ("- a\n", "config.yaml: it is a list, where settings are expected"),
        ("hello\n", "config.yaml: it is one value, where settings are expected"),
        ("a: \x07\n", "config.yaml: broken YAML"),
    ],
)
def test_what_is_no_mapping_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(TljhError, match=words):
        Document(text)


def test_a_link_to_nowhere_is_not_no_settings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").symlink_to("/nowhere/config.yaml")
    with pytest.raises(TljhError, match=r"is a link to /nowhere/config.yaml, which is not there"):
        Document.load(tmp_path / "config.yaml")


def test_endless_nesting_is_refused() -> None:
    with pytest.raises(TljhError, match=r"config.yaml: it is nested too deeply"):
        Document("a: " + "[" * 3000)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(TljhError, match=r"config.yaml is not text in UTF-8"):
        Document.load(tmp_path / "config.yaml")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TljhError, match="pipe is no file"):
        Document.load(tmp_path / "pipe")
    with pytest.raises(TljhError, match=r"can't be read: Is a directory\n  → Put a file there"):
        Document.load(tmp_path)


def test_key_paths_with_dots_in_a_name() -> None:
    document = Document("")
    document.set(("plugins", "a.b", "c"), 1)
    assert document.as_dict() == {"plugins": {"a.b": {"c": 1}}}
    assert parts("a.b") == ("a", "b")


def test_edit_keeps_the_mode_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(TYPED)
    path.chmod(0o640)
    with edit(path) as document:
        document.set("limits.cpu", 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_text() == TYPED.replace("cpu:\n", "cpu: 1\n")


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    with edit(tmp_path / "config.yaml") as document:
        document.set("limits.cpu", 1)
    assert stat.S_IMODE((tmp_path / "config.yaml").stat().st_mode) == 0o600


def test_edit_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text("a: 1\n")
    (tmp_path / "config.yaml").symlink_to("real.yaml")
    with edit(tmp_path / "config.yaml") as document:
        document.set("a", 2)
    assert (tmp_path / "config.yaml").is_symlink()
    assert (tmp_path / "real.yaml").read_text() == "a: 2\n"


def test_edit_writes_only_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(TYPED)
    before = path.stat().st_ino
    with edit(path) as document:
        document.set("limits.memory", "1G")
    assert path.stat().st_ino == before


def test_an_error_inside_edit_writes_nothing_and_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")
    with pytest.raises(TljhError), edit(path) as document:
        document.set("a", 2)
        raise TljhError("no")
    assert path.read_text() == "a: 1\n"
    with edit(path, timeout=0.1) as document:
        document.set("a", 3)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: 1\n")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"), edit(path) as document:
        document.set("a", 2)
    assert path.read_text() == "a: 1\n"
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")) == ["config.yaml"]


def test_a_held_lock_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with (
        locked(path),
        pytest.raises(
            TljhError, match=r"config.yaml is being changed by another program, which has held .*\.lock"
        ),
        edit(path, timeout=0.05),
    ):
        pass


def test_who_holds_the_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "processes_with", lambda path: [lock.Process(12, "tljh-config")])
    path = tmp_path / "config.yaml"
    with locked(path), pytest.raises(TljhError) as caught, edit(path, timeout=0.05):
        pass
    assert str(caught.value) == (
        f"{path} is being changed by tljh-config (pid 12), which has held {path}.lock for 0.05 seconds\n"
        "  → Try again when it has ended."
    )


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(TljhError, match=r"there is no folder .*missing"),
        edit(tmp_path / "missing" / "config.yaml", timeout=0.1),
    ):
        pass
    assert not (tmp_path / "missing").exists()


def test_threads_lose_no_change(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    def add(name: str) -> None:
        with edit(path) as document:
            document.add_item("users.admin", name)

    threads = [threading.Thread(target=add, args=(f"user-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Document.load(path).get("users.admin")) == [f"user-{n}" for n in range(8)]


def test_save_goes_through_the_machine(tmp_path: Path) -> None:
    machine = Machine(root=tmp_path)
    document = Document("a: 1\n")
    document.save(Path("/config.yaml"), machine)
    assert (tmp_path / "config.yaml").read_text() == "a: 1\n"


names = st.text("abc-_19é", min_size=1, max_size=4)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5000),
    st.floats(0, 9, allow_nan=False),
    st.text("ab: #'\"-\n0é", max_size=6),
    st.lists(st.text("ab:# '", max_size=4), max_size=3),
)


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.lists(names, min_size=1, max_size=3), values), min_size=1, max_size=4))
def test_what_is_set_is_read_back_and_what_is_unset_is_gone(changes: list[tuple[list[str], object]]) -> None:
    document = Document(TYPED)
    for path, value in changes:
        document.set(path, value)
        assert Document(document.dumps()).get(path, "missing") == value
        assert document.get("limits.memory") == "1G"
    for path, _ in reversed(changes):
        if document.get(path, "missing") != "missing":
            document.unset(path)
            assert Document(document.dumps()).get(path, "missing") == "missing"
    assert document.as_dict() == Document(TYPED).as_dict()
    assert "# per user" in document.dumps()
    assert "# what each may take\nlimits:" in document.dumps()
