"""Locks and layers: exact, whole or absent, never changed."""

import importlib.util
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tests.wargaming.test_engine import CASE, FINE, HONEST
from wargaming.engine import run_wargame, specs_of
from wargaming.environments.layers import Counters, LayerStore
from wargaming.environments.locks import checked_lock
from wargaming.environments.resolve import classify_npm, classify_uv
from wargaming.environments.spec import EnvironmentSpec, Lock, same_name, with_changed
from wargaming.environments.tools import installer_environment
from wargaming.environments.workshop import Workshop
from wargaming.errors import EnvironmentFailed
from wargaming.sandbox.base import Trust
from wargaming.sandbox.runtimes import python_runtime
from wargaming.scenarios import scenario_from_files
from wargaming.verdict import Verdict

ZIPP = EnvironmentSpec("PyPI", ("zipp==3.19.1",))


@pytest.fixture(scope="module")
def lock(workshop):
    return workshop.resolver.resolve(ZIPP, python_runtime())


@pytest.fixture
def store(tmp_path):
    return LayerStore(tmp_path / "layers")


def test_a_layer_is_built_once_however_many_ask_at_once(store, lock):
    with ThreadPoolExecutor(4) as pool:
        layers = list(pool.map(lambda _: LayerStore(store.root).layer(lock, python_runtime()), range(4)))
    assert len({layer.path for layer in layers}) == 1
    assert [layer.built for layer in layers].count(True) == 1


def test_a_layer_is_read_only_and_holds_bytecode_that_is_never_checked(store, lock):
    layer = store.layer(lock, python_runtime())
    modes = [os.stat(os.path.join(place, name)).st_mode for place, _, names in os.walk(layer.path) for name in names]
    assert modes
    assert not any(mode & 0o222 for mode in modes)
    [compiled] = (layer.path / "zipp" / "__pycache__").glob("__init__*.pyc")
    head = compiled.read_bytes()[:8]
    assert head[:4] == importlib.util.MAGIC_NUMBER
    assert head[4:8] == b"\x01\0\0\0"  # PEP 552: hash-based, unchecked


def test_a_layer_shares_no_file_with_the_installers_cache(store, lock):
    layer = store.layer(lock, python_runtime())
    assert {path.stat().st_nlink for path in layer.path.rglob("*.py")} == {1}


def test_what_fails_half_way_leaves_no_layer(store, lock):
    broken = Lock("PyPI", lock.pins, lock.text.replace("sha256:", "sha256:00", 1)[: len(lock.text)])
    wrong = Lock("PyPI", (("zipp", "3.19.1"),), "zipp==3.19.1 \\\n    --hash=sha256:" + "0" * 64 + "\n")
    for bad in (broken, wrong):
        with pytest.raises(EnvironmentFailed):
            store.layer(bad, python_runtime())
    assert [path.name for path in store.root.iterdir() if path.is_dir()] == []


def test_eviction_takes_the_longest_unused_and_spares_what_is_in_use(store, lock, workshop):
    other = workshop.resolver.resolve(EnvironmentSpec("PyPI", ("zipp==3.19.0",)), python_runtime())
    old, new = store.layer(other, python_runtime()), store.layer(lock, python_runtime())
    for layer, age in ((old, 7200), (new, 3600)):
        moment = time.time() - age
        os.utime(store.root / f"{layer.key}.used", (moment, moment))
    total = sum(size for _, size, _ in store.stored())
    assert store.evict(total) == []
    with store.in_use(old):
        assert store.evict(0) == [new.key]
    assert old.path.is_dir()
    assert not new.path.exists()
    assert store.evict(0) == [], "it was used just now"
    assert store.evict(0, unused_for_s=0) == [old.key]
    assert store.layer(lock, python_runtime()).built


def test_a_layer_used_lately_is_not_evicted(store, lock):
    store.layer(lock, python_runtime())
    assert store.evict(0) == []


def test_hits_misses_and_evictions_are_counted_over_all_processes(store, lock):
    made = store.layer(lock, python_runtime())
    LayerStore(store.root).layer(lock, python_runtime())
    unused_since(store, made, 7200)
    LayerStore(store.root).evict(0)
    assert store.counters == Counters(hits=1, misses=1, evictions=1)


def unused_since(store, layer, seconds):
    moment = time.time() - seconds
    os.utime(store.root / f"{layer.key}.used", (moment, moment))


def test_a_layer_that_went_before_it_was_held_is_not_used(store, lock):
    layer = store.layer(lock, python_runtime())
    unused_since(store, layer, 7200)
    assert store.evict(0) == [layer.key]
    with pytest.raises(EnvironmentFailed) as failure, store.in_use(layer):
        pass
    assert failure.value.reason == "layer_evicted"


def test_whoever_holds_a_layer_finds_it_whole_while_others_evict_and_build_it_again(store, lock):
    """Three hold and read, one evicts without any grace, as fast as they can: whoever holds it sees all of it until the end."""
    seen, stop = Counter(), threading.Event()

    def evicts():
        while not stop.is_set():
            for key, _, _ in store.stored():
                unused_since(store, SimpleNamespace(key=key), 7200)
            seen["evicted"] += len(LayerStore(store.root).evict(0))

    def holds():
        mine = LayerStore(store.root)
        for _ in range(15):
            layer = mine.layer(lock, python_runtime())
            try:
                with mine.in_use(layer):
                    first = sorted(path.name for path in (layer.path / "zipp").iterdir())
                    assert "__init__.py" in first
                    compile((layer.path / "zipp" / "__init__.py").read_bytes(), "zipp", "exec")
                    assert sorted(path.name for path in (layer.path / "zipp").iterdir()) == first
                    seen["held"] += 1
            except EnvironmentFailed as error:
                assert error.reason == "layer_evicted"  # noqa: PT017 - the only way to lose

    with ThreadPoolExecutor(4) as pool:
        evicting = pool.submit(evicts)
        try:
            for each in [pool.submit(holds) for _ in range(3)]:
                each.result()
        finally:
            stop.set()
        evicting.result()
    assert seen["held"]
    assert seen["evicted"]


def test_a_wargame_whose_environment_is_evicted_as_it_begins_builds_it_again(tmp_path, bubblewrap, monkeypatch):
    workshop = Workshop(tmp_path)
    files = {"case.yaml": CASE, "reproduce.py": HONEST, "control.py": FINE}
    scenario = scenario_from_files({name: text.encode() for name, text in files.items()}, Trust.ATTACHED)
    plain, gone = workshop.layers.in_use, []

    def evicted_first(*layers):
        if not gone:
            gone.extend(layer.key for layer in layers)
            for layer in layers:
                unused_since(workshop.layers, layer, 7200)
            assert set(workshop.layers.evict(0)) == set(gone)
        return plain(*layers)

    monkeypatch.setattr(workshop.layers, "in_use", evicted_first)
    result = run_wargame(scenario, *specs_of(scenario), bubblewrap, workshop)
    assert result.verdict is Verdict.PATCH_EFFECTIVE
    assert gone


def test_the_head_keeps_the_versions_of_its_base(workshop):
    base = workshop.resolver.resolve(
        EnvironmentSpec("PyPI", ("jinja2==3.1.4",), preferences=("markupsafe==2.1.3",)), python_runtime()
    )
    assert base.version_of("MarkupSafe") == "2.1.3"
    head = workshop.resolver.resolve(EnvironmentSpec("PyPI", ("jinja2==3.1.6",)), python_runtime(), base)
    assert head.version_of("markupsafe") == "2.1.3"
    assert head.version_of("jinja2") == "3.1.6"


def test_requirements_that_contradict_each_other_are_a_conflict(workshop):
    with pytest.raises(EnvironmentFailed) as failure:
        workshop.resolver.resolve(EnvironmentSpec("PyPI", ("jinja2==3.1.4", "markupsafe==1.1.1")), python_runtime())
    assert failure.value.reason in {"conflict", "no_wheel"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Because foo was not found in the package registry and you require foo", "unknown_package"),
        (
            "Because there is no version of zipp==9 and you require zipp==9, requirements are unsatisfiable",
            "unknown_version",
        ),
        ("Because foo==1 has no usable\n  wheels and you require foo==1", "no_wheel"),
        ("error: Failed to fetch: `http://x`\n Caused by: error sending request", "network_down"),
        (
            "Because a==1 depends on b>2 and you require b==1, we can conclude that your requirements are unsatisfiable.",
            "conflict",
        ),
        ("something else", "resolve_failed"),
    ],
)
def test_the_resolvers_words_become_a_reason(said, reason):
    assert classify_uv(said) == reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("npm error code E404", "unknown_package"),
        ("npm error code ETARGET\nnpm error notarget No matching version", "unknown_version"),
        ("npm error code ERESOLVE", "conflict"),
        ("npm error code ECONNREFUSED", "network_down"),
        ("npm error", "resolve_failed"),
    ],
)
def test_npms_codes_become_a_reason(said, reason):
    assert classify_npm(said) == reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "--index-url http://evil.example\n",
        "zipp==1.0\n",
        "zipp==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n-e .\n",
        "zipp @ http://evil.example/z.whl \\\n    --hash=sha256:" + "0" * 64,
        "-r /etc/passwd\n",
        "../zipp==1.0 \\\n    --hash=sha256:" + "0" * 64,
    ],
)
def test_a_lock_from_outside_holds_pins_with_hashes_and_nothing_else(text):
    with pytest.raises(EnvironmentFailed) as failure:
        checked_lock("PyPI", text)
    assert failure.value.reason == "lock_refused"


def test_a_lock_of_ours_passes_the_check_of_a_strangers(lock):
    assert checked_lock("PyPI", lock.text) == lock


@pytest.mark.parametrize(
    "package",
    [
        '"node_modules/a": {"version": "1.0.0", "integrity": "x", "resolved": "http://evil.example/a.tgz"}',
        '"node_modules/a": {"version": "1.0.0"}',
        '"node_modules/a": {"link": true, "integrity": "x", "version": "1.0.0"}',
        '"../a": {"version": "1.0.0", "integrity": "x"}',
        '"node_modules/a": {"version": "file:../x", "integrity": "x"}',
    ],
)
def test_a_package_lock_from_outside_names_registry_packages_only(package):
    text = '{"packages": {"": {"dependencies": {"a": "1.0.0"}}, ' + package + "}}"
    with pytest.raises(EnvironmentFailed) as failure:
        checked_lock("npm", text)
    assert failure.value.reason == "lock_refused"


def test_changing_a_requirement_keeps_the_others_and_extras():
    assert with_changed("PyPI", ("Foo[bar]==1", "baz==2"), {"foo": "3", "new": "4"}) == (
        "Foo[bar]==3",
        "baz==2",
        "new==4",
    )
    assert with_changed("npm", ("@a/b@1.0.0",), {"@a/b": "2.0.0"}) == ("@a/b@2.0.0",)
    assert same_name("PyPI", "Foo_Bar.baz") == "foo-bar-baz"


def test_installers_get_their_own_configuration_and_no_secret(monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.setenv("DATABASE_URL", "secret")
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.delenv("UV_INDEX_URL", raising=False)
    variables = installer_environment()
    assert "secret" not in variables.values()
    assert variables["UV_DEFAULT_INDEX"] == "https://index.example/simple"
    assert "PATH" in variables


def test_a_configured_index_of_uv_is_not_overruled_by_pips(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://other.example/simple")
    assert installer_environment()["UV_DEFAULT_INDEX"] == "https://other.example/simple"
