"""Which source, which interpreter and which environment: the choices, on folders made for it."""

import itertools
import json

import bootstrap_file as b
import pytest


def project(tmp_path):
    root = tmp_path / "checkout"
    (root / "bootstrap").mkdir(parents=True)
    (root / "installer" / "tljh" / "__pycache__").mkdir(parents=True)
    (root / "bootstrap" / "bootstrap.py").write_text("")
    (root / "setup.py").write_text("setup()")
    (root / "installer" / "tljh" / "cli.py").write_text("x = 1")
    (root / "installer" / "tljh" / "__pycache__" / "cli.pyc").write_text("a")
    return root


def environment(prefix, name, digest="", packages=None, spec="/src"):
    env = prefix / "envs" / name
    (env / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    for key, version in (packages or {}).items():
        (env / "lib" / "python3.11" / "site-packages" / f"{key}-{version}.dist-info").mkdir()
    if digest:
        sources = {b.PROJECT: {"spec": spec, "digest": digest, "wheel": ""}}
        manifest = {"format": 1, "requirements": [], "packages": packages or {}, "sources": sources}
        (env / b.MANIFEST).write_text(json.dumps(manifest))
    return env


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.9.0", "0.13.8"), ("0.13.8", "0.13.10"), ("0.13", "0.13.1"), ("", "0.1"), ("3.9.2+x", "3.10")],
)
def test_versions_compare_by_number(old, new):
    assert b.version_key(old) < b.version_key(new)


# ---- the source


def test_the_digest_follows_the_content_of_what_is_installed(tmp_path):
    root = project(tmp_path)
    first = b.local_source(root, editable=False).digest
    (root / "installer" / "tljh" / "__pycache__" / "cli.pyc").write_text("b")
    (root / "notes.md").write_text("not installed")
    assert b.local_source(root, editable=False).digest == first
    (root / "installer" / "tljh" / "cli.py").write_text("x = 2")
    assert b.local_source(root, editable=False).digest != first


def test_an_editable_checkout_changes_with_its_metadata_only(tmp_path):
    root = project(tmp_path)
    first = b.local_source(root, editable=True)
    assert first.requirement == f"-e {root}"
    (root / "installer" / "tljh" / "cli.py").write_text("x = 2")
    assert b.local_source(root, editable=True) == first
    (root / "setup.py").write_text("setup(name='x')")
    assert b.local_source(root, editable=True) != first


def test_the_checkout_goes_before_the_spec(tmp_path):
    root = project(tmp_path)
    env = {"TLJH_BOOTSTRAP_PIP_SPEC": "git+https://host/x"}
    assert b.find_source(str(root / "bootstrap" / "bootstrap.py"), env, "").checkout == root


@pytest.mark.parametrize("own_file", ["", "<stdin>"])
def test_piped_it_needs_a_spec_or_a_release(own_file, tmp_path):
    with pytest.raises(b.Stop) as caught:
        b.find_source(own_file, {}, "")
    for words in (
        "does not stand in a checkout",
        "TLJH_BOOTSTRAP_PIP_SPEC is not set",
        "no release has been published",
    ):
        assert words in str(caught.value)
    assert b.find_source(own_file, {}, "", "https://releases/") is None
    for spec, requirement in (
        ("git+https://host/x@main", "the-littlest-jupyterhub @ git+https://host/x@main"),
        ("the-littlest-jupyterhub==3.1", "the-littlest-jupyterhub==3.1"),
        ("the-littlest-jupyterhub @ https://host/x.zip", "the-littlest-jupyterhub @ https://host/x.zip"),
    ):
        assert b.find_source(own_file, {"TLJH_BOOTSTRAP_PIP_SPEC": spec}, "").requirement == requirement
    folder = b.find_source(own_file, {"TLJH_BOOTSTRAP_PIP_SPEC": str(project(tmp_path))}, "")
    assert folder.digest.startswith("sha256:")
    wheel = tmp_path / "the_littlest_jupyterhub-3.0-py3-none-any.whl"
    wheel.write_bytes(b"zip")
    assert b.find_source(own_file, {"TLJH_BOOTSTRAP_PIP_SPEC": str(wheel)}, "").wheel == wheel


def test_version_contradicts_a_checkout(tmp_path):
    with pytest.raises(b.Stop, match="--version chooses a release, but") as caught:
        b.find_source(str(project(tmp_path) / "bootstrap" / "bootstrap.py"), {}, "3.1")
    assert caught.value.code == 2


def test_releases():
    links = {
        f"the_littlest_jupyterhub-{v}-py3-none-any.whl": f"https://r/{v}" for v in ("3.9.0", "3.10.0", "4.0.0rc1")
    }
    assert b.pick_release(links, "", "https://r/").spec == "https://r/3.10.0"
    assert b.pick_release(links, "4.0.0rc1", "https://r/").spec == "https://r/4.0.0rc1"
    with pytest.raises(b.Stop, match=r"no release 9 at https://\*\*\*@r/; there are: 3\.9\.0, "):
        b.pick_release(links, "9", "https://u:p@r/")


# ---- the interpreter


def test_a_python_that_others_cannot_reach_is_not_used(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    closed = tmp_path / "root"
    (closed / "bin").mkdir(parents=True)
    python = closed / "bin" / "python3"
    python.write_text("")
    python.chmod(0o755)
    monkeypatch.setattr(b, "readable_by_all", lambda path: _readable_below(tmp_path, path))
    assert b.system_python(str(python)) == str(python)
    closed.chmod(0o700)
    monkeypatch.setattr(b, "program_version", lambda path: "3.9.2")
    with pytest.raises(b.Stop) as caught:
        b.system_python(str(python))
    assert "lies in a folder that others cannot enter" in str(caught.value)
    assert "/usr/bin/python3 is 3.9.2 (needed: 3.10 or later)" in str(caught.value)


def _readable_below(top, path):
    """``readable_by_all`` without pytest's own private folders above ``top``."""
    parts = [path, *(part for part in path.parents if part.is_relative_to(top))]
    return path.is_file() and all(part.stat().st_mode & 0o001 for part in parts)


def test_readable_by_all(tmp_path):
    program = tmp_path / "python3"
    program.write_text("")
    program.chmod(0o700)
    assert not b.readable_by_all(program)
    assert not b.readable_by_all(tmp_path / "nothing")
    assert b.readable_by_all(b.Path("/bin/sh"))


# ---- environments


def test_an_environment_is_healthy_while_all_its_packages_are_there(tmp_path):
    env = environment(tmp_path, "hub-1", "sha256:a", {"jupyterhub": "6.1.1", "ruamel_yaml": "0.19.1"})
    site = env / "lib" / "python3.11" / "site-packages"
    assert b.installed_packages(site) == {"jupyterhub": "6.1.1", "ruamel-yaml": "0.19.1"}
    manifest = {"packages": {"jupyterhub": "6.1.1"}}
    assert b.is_healthy(env, manifest, site)
    assert not b.is_healthy(env, manifest, None)  # its interpreter doesn't run
    assert not b.is_healthy(env, {}, site)
    assert not b.is_healthy(env, {"packages": {"jupyterhub": "6.2.0"}}, site)


def test_choice_of_the_environment(tmp_path):
    source = b.Source("/src", "sha256:new")
    assert b.current_env(tmp_path) is None
    assert b.next_env(tmp_path).name == "hub-1"
    old = environment(tmp_path, "hub-2", "sha256:new")  # kept for a rollback
    serving = environment(tmp_path, "hub-9", "sha256:old")
    cut_off = environment(tmp_path, "hub-10")
    (tmp_path / "envs" / "user-30").mkdir()
    (tmp_path / "hub").symlink_to("envs/hub-9")
    assert b.current_env(tmp_path) == serving
    assert b.leftovers(tmp_path) == [cut_off]
    assert b.next_env(tmp_path).name == "hub-11"
    assert b.reusable(tmp_path, source) is None  # hub-2 belongs to an earlier generation
    finished = environment(tmp_path, "hub-11", "sha256:new")
    assert b.reusable(tmp_path, source) == finished
    assert old in (tmp_path / "envs").iterdir()


def test_a_serving_environment_without_its_record_is_never_removed(tmp_path):
    environment(tmp_path, "hub-1")
    (tmp_path / "hub").symlink_to(tmp_path / "envs" / "hub-1")
    assert b.leftovers(tmp_path) == []


def test_a_remote_source_is_known_by_its_words():
    manifest = {"sources": {b.PROJECT: {"spec": "git+https://h/x", "digest": ""}}}
    assert b.Source("git+https://h/x").installed_in(manifest)
    assert not b.Source("git+https://h/x@2").installed_in(manifest)
    assert not b.Source("/src", "sha256:a").installed_in(manifest)
    assert not b.Source("/src", "sha256:a").installed_in({})


def test_the_record_says_what_the_environment_holds(tmp_path):
    wheel = tmp_path / "w.whl"
    b.write_manifest(
        tmp_path, b.Source("/src", "sha256:a", wheel=wheel), ["a==1", ""], {"a": "1"}, {"./x": {"digest": "y"}}
    )
    requirement = f"the-littlest-jupyterhub @ file://{wheel}"
    assert b.read_manifest(tmp_path) == {
        "format": 1,
        "requirements": [{"requirement": requirement, "origin": "core"}],
        "lock": ["a==1"],
        "packages": {"a": "1"},
        "sources": {
            "./x": {"digest": "y"},
            b.PROJECT: {"spec": "/src", "digest": "sha256:a", "wheel": str(wheel)},
        },
    }


class FakeRun:
    """A run whose uv does what the test says."""

    def __init__(self, prefix, uv):
        self.prefix, self.state, self.settings, self.bundle = prefix, prefix / "state", None, None
        self.console, self.call_uv = b.Console(), uv
        self.uv_env, self.called = {"UV_CACHE_DIR": "/cache"}, []
        (prefix / "state").mkdir()

    def call(self, words, env, name, todo):
        self.called.append((list(map(str, words)), env))


def test_a_failed_build_leaves_no_environment(tmp_path):
    def uv(verb, *words, todo):
        if verb == "venv":
            words[-1].mkdir(parents=True)
        else:
            raise b.Stop("no solution", todo)

    with pytest.raises(b.Stop, match="the same command tries again"):
        b.build_environment(FakeRun(tmp_path, uv), tmp_path / "envs" / "hub-1", b.Source("x"), "python3", None, {})
    assert list((tmp_path / "envs").iterdir()) == []
    assert list((tmp_path / "state").iterdir()) == []


def test_from_a_bundle_the_lock_is_installed_without_a_resolve(tmp_path, monkeypatch):
    ran, listed = [], []

    def uv(*words, todo):
        ran.append([str(word) for word in words])
        if words[:2] == ("pip", "install"):
            listed.extend(words[-1].read_text().splitlines())
            (env / "lib" / "python3.11" / "site-packages" / "click-8.1.dist-info").mkdir(parents=True)

    env, wheel = tmp_path / "envs" / "hub-2", tmp_path / "the_littlest_jupyterhub-3.0-py3-none-any.whl"
    wheel.write_bytes(b"ours")
    run = FakeRun(tmp_path, uv)
    run.bundle = tmp_path / "bundle"
    (run.bundle / "lock").mkdir(parents=True)
    (run.bundle / "lock" / "requirements-hub.lock").write_text("click==8.1 --hash=sha256:aa\n")
    monkeypatch.setattr(b, "site_packages", lambda env: env / "lib" / "python3.11" / "site-packages")
    b.build_environment(run, env, b.Source("x", "sha256:1", wheel=wheel), "python3", tmp_path / "hub-1", {})
    assert [words[0] for words in ran] == ["venv", "pip"], "a copy of what serves might hold more than the lock"
    assert ran[1][:2] == ["pip", "install"] and {"--no-deps", "--require-hashes"} < set(ran[1])
    assert listed[0] == "click==8.1 --hash=sha256:aa" and listed[1].startswith(
        f"{b.PROJECT} @ {wheel.as_uri()} --hash"
    )
    manifest = b.read_manifest(env)
    assert manifest["lock"] == listed and manifest["packages"] == {"click": "8.1"}


def test_a_resolve_prefers_what_is_installed_and_lets_nobody_replace_us(tmp_path, monkeypatch):
    seen = {}

    def uv(verb, *words, todo):
        if verb == "venv":
            words[-1].mkdir(parents=True)
        elif words[0] == "compile":
            named = dict(itertools.pairwise(words))
            seen["overrides"] = named["--override"].read_text()
            seen["seed"] = named["--output-file"].read_text()
            seen["wanted"] = words[-1].read_text()

    monkeypatch.setattr(b, "site_packages", lambda env: env)
    wheel = tmp_path / "w.whl"
    before = {"packages": {"jupyterhub": "6.0", b.PROJECT: "1"}}
    env = tmp_path / "envs" / "hub-1"
    run = FakeRun(tmp_path, uv)
    b.build_environment(run, env, b.Source("/src", "sha256:a", wheel=wheel), "python3", None, before)
    ours = f"the-littlest-jupyterhub @ file://{wheel}\n"
    assert seen == {
        "overrides": ours + 'tljh ; python_version < "0"\nrfc3987-syntax ; python_version < "0"\n',
        "seed": "jupyterhub==6.0\n",
        "wanted": ours,
    }
    assert b.read_manifest(env)["format"] == 1
    [(compiling, variables)] = run.called
    assert compiling == [
        f"{env}/bin/python",
        "-S",
        f"{env}/tljh/resources/environments/bytecode_worker.py",
        str(env),
    ]
    assert variables["PYTHONHASHSEED"] == "0", "the same source gives the same byte code"


def test_a_checkout_that_is_installed_editable_compiles_by_itself(tmp_path, monkeypatch):
    def uv(verb, *words, todo):
        if verb == "venv":
            words[-1].mkdir(parents=True)

    monkeypatch.setattr(b, "site_packages", lambda env: env)
    run, source = FakeRun(tmp_path, uv), b.Source("/src", "sha256:a", b.Path("/src"), editable=True)
    b.build_environment(run, tmp_path / "envs" / "hub-1", source, "python3", None, {})
    assert run.called[0][0][2] == "/src/installer/tljh/resources/environments/bytecode_worker.py"


def test_a_wheel_is_built_once(tmp_path):
    root, built = project(tmp_path), []

    def uv(verb, *words, todo):
        built.append(verb)
        (words[-2] / "the_littlest_jupyterhub-3.0-py3-none-any.whl").write_bytes(b"")
        assert (words[-1] / "installer" / "tljh" / "cli.py").exists()
        assert words[-1] != root

    run = FakeRun(tmp_path, uv)
    source = b.local_source(root, editable=False)
    first = b.build_wheel(run, source, "python3").wheel
    assert b.build_wheel(run, source, "python3").wheel == first
    assert built == ["build"]
    assert first.parent == tmp_path / "state" / "wheels" / source.digest[7:19]
    assert [path.name for path in (tmp_path / "state" / "wheels").iterdir()] == [first.parent.name]
