"""pip's and uv's settings, index pages, and what is fetched from where."""

import errno
import hashlib
import io
import ssl
import sys
import types
import urllib.error
import zipfile

import bootstrap_file as b
import pytest

PIP_CONF = """\
[global]
index-url = https://first/simple
extra_index_url = https://more/simple
    file:///gone/simple
find-links = /wheels /gone
cert = /ca.pem
proxy = http://proxy:3128
trusted-host = first
[install]
index-url = https://me:pass@second/simple
"""
NAME, DIGEST = b.UV_WHEELS["x86_64"]


def settings(env=None, **files):
    there = {"/wheels", "/ca.pem", "/own.pem"}
    texts = {name.replace("__", "."): text for name, text in files.items()}
    paths = {
        "/etc/pip.conf": texts.get("pip"),
        "/root/.config/uv/uv.toml": texts.get("uv"),
        "/x.conf": texts.get("x"),
    }
    return b.read_settings(
        {"HOME": "/root", **(env or {})}, lambda path: paths.get(path) or "", lambda path: str(path) in there
    )


def test_without_any_setting_it_is_the_public_index():
    found = settings()
    assert found.indexes == [b.PUBLIC_INDEX]
    assert found.links == []
    assert found.for_uv == {}
    assert found.read == []


def test_pip_conf_is_read_as_pip_does_and_uv_is_told():
    found = settings(pip=PIP_CONF)
    assert found.indexes == ["https://more/simple", "https://me:pass@second/simple"]
    assert found.links == ["/wheels"]
    assert found.certificates == ["/ca.pem"]
    assert found.read == ["/etc/pip.conf"]
    assert found.for_uv == {
        "UV_DEFAULT_INDEX": "https://me:pass@second/simple",
        "UV_INDEX": "https://more/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_INSECURE_HOST": "first",
        "HTTPS_PROXY": "http://proxy:3128",
    }


def test_variables_win_over_files():
    found = settings({"PIP_INDEX_URL": "https://env/simple", "https_proxy": "http://p"}, pip=PIP_CONF)
    assert found.indexes[-1] == "https://env/simple"
    assert found.for_uv["UV_DEFAULT_INDEX"] == "https://env/simple"
    assert found.proxy == ""
    assert "HTTPS_PROXY" not in found.for_uv


def test_pip_config_file_stands_in_for_the_user_s():
    assert settings({"PIP_CONFIG_FILE": "/x.conf"}, x="[global]\nindex-url = https://x/s\n").indexes == [
        "https://x/s"
    ]
    assert settings({"PIP_CONFIG_FILE": "/dev/null"}, pip=PIP_CONF).read == []


def test_uv_s_own_settings_win_over_pip_s():
    env = {
        "UV_DEFAULT_INDEX": "https://uv/simple",
        "UV_INDEX": "name=https://u2/simple",
        "SSL_CERT_FILE": "/own.pem",
    }
    found = settings(env, pip=PIP_CONF)
    assert found.indexes == ["https://u2/simple", "https://uv/simple"]
    assert not {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_STRATEGY", "SSL_CERT_FILE"} & set(found.for_uv)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no tomllib")
def test_uv_toml():
    text = '[[index]]\nurl = "https://a/s"\n[[index]]\nurl = "https://d/s"\ndefault = true\n'
    found = settings(uv=text, pip=PIP_CONF)
    assert found.indexes == ["https://a/s", "https://d/s"]
    assert "UV_DEFAULT_INDEX" not in found.for_uv
    assert "/root/.config/uv/uv.toml" in found.read
    with pytest.raises(b.Stop, match=r"uv\.toml cannot be read"):
        settings(uv="index = [")


def test_folders_that_are_not_there_are_left_out_for_uv():
    found = settings({"PIP_FIND_LINKS": "/gone", "PIP_EXTRA_INDEX_URL": "file:///gone/simple"})
    assert found.links == []
    assert "UV_FIND_LINKS" not in found.for_uv
    assert "UV_INDEX" not in found.for_uv
    assert settings({"REQUESTS_CA_BUNDLE": "/own.pem"}).for_uv == {"SSL_CERT_FILE": "/own.pem"}
    assert settings({"UV_FIND_LINKS": "/gone,/wheels"}).for_uv["UV_FIND_LINKS"] == "/wheels"


def test_no_index():
    found = settings({"PIP_NO_INDEX": "1"}, pip=PIP_CONF)
    assert found.indexes == []
    assert found.links == ["/wheels"]
    assert found.for_uv["UV_DEFAULT_INDEX"].startswith("file://")


def test_a_broken_pip_conf_is_named():
    with pytest.raises(b.Stop, match=r"/etc/pip\.conf cannot be read"):
        settings(pip="index-url = x\n")


def test_credentials_come_from_the_url_its_index_or_netrc(tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine files.host login ada password secret\n")
    found = settings(pip=PIP_CONF)._replace(netrc=str(netrc))
    assert found.credentials("https://u:p%40ss@h/x") == ("u", "p@ss")
    assert found.credentials("https://second/files/uv.whl") == ("me", "pass")
    assert found.credentials("https://files.host/uv.whl") == ("ada", "secret")
    assert found.credentials("https://other/uv.whl") is None


def test_child_environment():
    env = b.child_environment({"PYTHONPATH": "/x", "PYTHONDONTWRITEBYTECODE": "1", "A": "b"}, b.Path("/opt/tljh"))
    assert env == {
        "A": "b",
        "TLJH_INSTALL_PREFIX": "/opt/tljh",
        "UV_CACHE_DIR": "/opt/tljh/cache/uv",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    assert b.child_environment({"UV_CACHE_DIR": "/c"}, b.Path("/p"))["UV_CACHE_DIR"] == "/c"


# ---- index pages

HTML = f"""<!DOCTYPE html><html><body><h1>Links for uv</h1>
<a href="../../files/{NAME}#sha256={DIGEST}" data-requires-python="&gt;=3.8">{NAME}</a><br/>
<a href="https://files/uv-0.0.5%2Blocal.tar.gz">uv-0.0.5+local.tar.gz</a></body></html>"""


def test_html_index():
    found = b.parse_index(HTML, "text/html", "https://host/simple/uv/")
    assert found[NAME] == f"https://host/files/{NAME}#sha256={DIGEST}"
    assert found["uv-0.0.5+local.tar.gz"] == "https://files/uv-0.0.5%2Blocal.tar.gz"
    based = b.parse_index(
        f'<base href="https://cdn/"><a href="{NAME}">x</a>', "text/html", "https://host/simple/uv/"
    )
    assert based[NAME] == f"https://cdn/{NAME}"


def test_json_index():
    text = (
        '{"meta": {"api-version": "1.0"}, "files": [{"filename": "uv.whl", "url": "/files/uv.whl", "hashes": {}}]}'
    )
    found = b.parse_index(text, "application/vnd.pypi.simple.v1+json", "https://host/simple/uv/")
    assert found == {"uv.whl": "https://host/files/uv.whl"}


class Answers:
    """Stands in for the network: URL → body, or the error that it raises."""

    def __init__(self, answers):
        self.answers = answers

    def get(self, url, accept="*/*"):
        answer = self.answers.get(url, urllib.error.HTTPError(url, 404, "Not Found", {}, None))
        if isinstance(answer, Exception):
            raise answer
        return answer, "text/html", url


def places(indexes=(), links=()):
    return settings()._replace(indexes=list(indexes), links=list(links), read=["/etc/pip.conf"])


def test_the_first_place_that_has_it(tmp_path):
    (tmp_path / "links").mkdir()
    web = Answers({"https://i/simple/uv/": HTML.encode(), f"https://i/files/{NAME}#sha256={DIGEST}": b"wheel"})
    found = b.fetch_uv(places(["https://empty/simple", "https://i/simple"], [str(tmp_path / "links")]), web, NAME)
    assert found == (b"wheel", f"https://i/files/{NAME}#sha256={DIGEST}")
    (tmp_path / "links" / NAME).write_bytes(b"local")
    body, origin = b.fetch_uv(places(links=[str(tmp_path / "links")]), Answers({}), NAME)
    assert body == b"local"
    assert origin == (tmp_path / "links" / NAME).as_uri()


def test_an_index_in_a_folder(tmp_path):
    (tmp_path / "simple" / "uv").mkdir(parents=True)
    (tmp_path / "simple" / "uv" / "index.html").write_text(HTML)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / NAME).write_bytes(b"local")
    assert b.fetch_uv(places([f"file://{tmp_path}/simple"]), Answers({}), NAME)[0] == b"local"


def test_every_place_and_its_answer_is_told():
    bad = ssl.SSLCertVerificationError("x")
    bad.verify_message = "self-signed certificate"
    web = Answers(
        {
            "https://me:pass@a/simple/uv/": urllib.error.URLError(
                ConnectionRefusedError(111, "Connection refused")
            ),
            "https://b/simple/uv/": urllib.error.URLError(bad),
            "https://c/simple/uv/": urllib.error.HTTPError("u", 401, "Unauthorized", {}, None),
            "https://d/simple/uv/": b"<html></html>",
        }
    )
    with pytest.raises(b.Stop) as caught:
        b.fetch_uv(places([f"https://{host}/simple" for host in ("me:pass@a", "b", "c", "d")]), web, NAME)
    said = str(caught.value)
    assert "me:pass" not in said
    for words in (
        "settings read: /etc/pip.conf",
        "https://***@a/simple: [Errno 111] Connection refused",
        "https://b/simple: the server's certificate is not trusted (self-signed certificate); name its CA",
        "https://c/simple: HTTP 401 Unauthorized; credentials are needed",
        f"https://d/simple: has no {NAME}",
        "PIP_INDEX_URL",
    ):
        assert words in said


def test_a_wrong_hash_names_both_and_the_place():
    with pytest.raises(b.Stop) as caught:
        b.check_digest(b"tampered", DIGEST, "https://u:p@mirror/uv.whl")
    said = str(caught.value)
    assert "https://***@mirror/uv.whl is not the file that this installer knows; it was not installed" in said
    assert hashlib.sha256(b"tampered").hexdigest() in said
    assert DIGEST in said
    b.check_digest(b"good", hashlib.sha256(b"good").hexdigest(), "x")


def test_tries_again_only_what_may_pass(monkeypatch):
    slept, tries = [], []
    monkeypatch.setattr(b.time, "sleep", slept.append)

    class Flaky(b.Fetcher):
        def _get_once(self, url, accept):
            tries.append(url)
            raise self.fault

    fetcher = Flaky(settings(), b.Console())
    fetcher.fault = urllib.error.URLError(TimeoutError("timed out"))
    with pytest.raises(urllib.error.URLError):
        fetcher.get("https://h/")
    assert (len(tries), slept) == (3, [1.0, 3.0])
    fetcher.fault = urllib.error.HTTPError("u", 403, "Forbidden", {}, None)
    with pytest.raises(urllib.error.HTTPError):
        fetcher.get("https://h/")
    assert len(tries) == 4
    assert not b.is_transient(urllib.error.URLError(ssl.SSLCertVerificationError("x")))


def test_uv_is_put_in_place_in_one_step(tmp_path):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(f"uv-{b.UV_VERSION}.data/scripts/uv", "program")
    b.unpack_uv(body.getvalue(), tmp_path / "bin" / "uv")
    assert (tmp_path / "bin" / "uv").read_text() == "program"
    assert (tmp_path / "bin" / "uv").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["uv"]


def test_who_has_no_room_is_told_to_make_some(monkeypatch, tmp_path):
    said = b"cause: No space left on device (os error 28)"
    ended = types.SimpleNamespace(communicate=lambda timeout: (said, None), returncode=2)
    monkeypatch.setattr(b.subprocess, "Popen", lambda *words, **more: ended)
    here = types.SimpleNamespace(console=types.SimpleNamespace(log=lambda text: None), state=tmp_path, lock_fd=0)
    with pytest.raises(b.Stop) as stopped:
        b.Run.call(here, ["uv"], {}, "uv pip", "see above")
    assert "the disk is full: uv pip could not write its files" in str(stopped.value)
    assert str(stopped.value).endswith("→ make room and run the same command again")


def test_uv_s_own_words_are_shown():
    said = b.failure("uv pip", 1, "\n".join(f"line {n}" for n in range(30)))
    assert "uv pip ended with status 1; it said:" in said
    assert "line 29" in said
    assert "line 9\n" not in said
    assert "the disk is full" in b.failure("uv pip", 2, "cause: No space left on device (os error 28)")


def test_a_full_disk_while_unpacking_leaves_nothing(tmp_path, monkeypatch):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(f"uv-{b.UV_VERSION}.data/scripts/uv", "program")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(b.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        b.unpack_uv(body.getvalue(), tmp_path / "bin" / "uv")
    assert list((tmp_path / "bin").iterdir()) == []
