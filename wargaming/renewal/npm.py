"""package-lock.json and the package.json beside it, renewed by npm in the sandbox.

npm decides what fits; it is shown the remedied package at its present versions and its targets only, so that nothing moves further
than it must. What npm would rewrite anyway (flags another release of it computes otherwise) is found by letting it work on the
unchanged files first, and is left as it was.
"""

from __future__ import annotations

import functools
import json
import posixpath
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httpx

from immune.formats import limits
from immune.formats.documents import load_json, table
from immune.formats.npm_spec import wish
from immune.inventory import Origin, Unreadable
from immune.renewal import CannotRenew, Wanted
from wargaming.environments.tools import run_tool
from wargaming.errors import EnvironmentFailed
from wargaming.renewal import fetch, json_text, registries, sandboxed
from wargaming.sandbox.base import Driver

PUBLIC_REGISTRY = "https://registry.npmjs.org/"
CONFIGURATION = (".npmrc", ".yarnrc", ".yarnrc.yml")
SECTIONS = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
MAX_LOCK = 16 * 1024 * 1024
_NAME = re.compile(r"(?:@[A-Za-z0-9~_-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~_-][A-Za-z0-9._~-]*")
VERSION = re.compile(r"[0-9A-Za-z.+-]{1,100}")
INTEGRITY = re.compile(r"(?:sha(?:1|256|384|512)-[A-Za-z0-9+/=]+\s*)+")
# What npm writes into a lock or decides by; the rest of a packument (texts, maintainers, tests) stays out here.
_KEPT = frozenset(
    {"name", "version", "license", "licenses", "funding", "bin", "engines", "os", "cpu", "libc", "deprecated", "dist"}
    | {"dependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta", "acceptDependencies"}
    | {"bundleDependencies", "bundledDependencies", "hasInstallScript", "_hasShrinkwrap"}
)
_INSTALL_SCRIPTS = ("preinstall", "install", "postinstall")

OpenDriver = Callable[[], Any]


class NpmRenewer:
    """Renews npm's files. ``opened`` gives a sandbox driver as a context; ``work`` is a folder of ours."""

    def __init__(self, opened: OpenDriver, work: Callable[[], Path]) -> None:
        self._opened = opened
        self._work = work

    def lock(self, wanted: Wanted) -> dict[str, str]:
        """A lock file and, where its wishes do not admit the target, package.json. Raises as a Renewer does."""
        manifest_path = _beside(wanted.path, "package.json")
        manifest = wanted.read(manifest_path)
        if manifest is None:
            raise CannotRenew("there is no package.json beside it")
        lock = _checked(wanted, manifest_path, manifest)
        order = {
            "name": wanted.name,
            "targets": dict(wanted.targets),
            "manifest": limits.without_mark(manifest),
            "lock": limits.without_mark(wanted.text),
            "lockName": posixpath.basename(wanted.path),
            "lockVersion": lock.get("lockfileVersion", 1),
            "resolved": any("resolved" in entry for _, entry in _entries(lock)),
        }
        with fetch.client() as client, self._opened() as driver:
            found = self._run(order, client, driver)
        try:
            return _files(wanted, manifest_path, manifest, lock, found)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CannotRenew("npm's answer is not a lock file") from error

    def manifest(self, wanted: Wanted) -> dict[str, str]:
        """An exact version in a package.json without a lock file beside it. Raises as a Renewer does."""
        document = document_of(wanted.path, wanted.text)
        refuse_places(wanted, document)
        changes = []
        for section in SECTIONS:
            for key, value in table(document.get(section)).items():
                found = wish(key, value) if isinstance(value, str) else None
                if found and found.name == wanted.name and found.version in wanted.targets:
                    old = str(found.version)
                    changes.append((section, key, value.replace(old, wanted.targets[old])))
        with fetch.client() as client:
            packument = json.loads(packument_of(client, wanted.name) or b"{}")
        for target in wanted.targets.values():
            if target not in packument.get("versions", {}):
                raise CannotRenew(f"the registry has no {wanted.name} {target}")
        return {wanted.path: json_text.replaced(wanted.text, changes)}

    def _run(self, order: dict[str, Any], client: httpx.Client, driver: Driver) -> dict[str, Any]:
        tool = sandboxed.registry_tool("npm", _npm_folder())
        return sandboxed.run(tool, order, lambda path: answer(client, path), driver=driver, work=self._work())


# --- what comes in --------------------------------------------------------------------------------------------


def _beside(path: str, name: str) -> str:
    return posixpath.join(posixpath.dirname(path), name)


def document_of(path: str, text: str) -> dict[str, Any]:
    try:
        found = load_json(path, text)
    except Unreadable as error:
        raise CannotRenew(str(error)) from error
    if not isinstance(found, dict):
        raise CannotRenew(f"{path} is not a JSON object")
    return found


def _checked(wanted: Wanted, manifest_path: str, manifest: str) -> dict[str, Any]:
    """The lock, when neither it nor what lies beside it points anywhere but to the public registry."""
    if len(wanted.text) > MAX_LOCK:
        raise CannotRenew("the lock file is too large to be worked on")
    refuse_places(wanted, document_of(manifest_path, manifest))
    lock = document_of(wanted.path, wanted.text)
    for place in lock.get("packages", {}):
        if place and not place.startswith("node_modules/"):
            raise CannotRenew(f"{limits.shown(place)} is a folder of the repository; workspaces are not prepared yet")
    for place, entry in _entries(lock):
        shown = limits.shown(place)
        if entry.get("link"):
            raise CannotRenew(f"{shown} is a link to a folder")
        resolved = entry.get("resolved")
        if resolved is not None and resolved is not False and not _is_public(resolved):
            raise CannotRenew(f"{shown} comes from {limits.shown(str(resolved))}, not from the public registry")
        if wish(place, str(entry.get("version", ""))).origin is not Origin.REGISTRY:
            raise CannotRenew(f"{shown} comes from {limits.shown(str(entry['version']))}, not from the public registry")
    return lock


def _is_public(resolved: object) -> bool:
    return isinstance(resolved, str) and resolved.startswith(PUBLIC_REGISTRY)


def refuse_places(wanted: Wanted, document: Mapping[str, Any]) -> None:
    """Raises CannotRenew for whatever would lead an installer elsewhere than to the public registry."""
    folder = posixpath.dirname(wanted.path)
    while True:
        for name in CONFIGURATION:
            path = posixpath.join(folder, name)
            if wanted.read(path) is not None:
                raise CannotRenew(f"{path} may lead npm elsewhere; files with it are not worked on")
        if not folder:
            break
        folder = posixpath.dirname(folder)
    if document.get("workspaces"):
        raise CannotRenew("package.json has workspaces, which are not prepared yet")
    for section in SECTIONS:
        for key, value in table(document.get(section)).items():
            if not isinstance(value, str) or wish(key, value).origin is not Origin.REGISTRY:
                raise CannotRenew(f"package.json takes {limits.shown(key)} from {limits.shown(str(value))}")
    for key, value in _leaves(document.get("overrides")):
        if not isinstance(value, str) or wish(key, value).origin is not Origin.REGISTRY:
            raise CannotRenew(f"package.json overrides {limits.shown(key)} with {limits.shown(str(value))}")


def _leaves(value: object) -> Iterator[tuple[str, object]]:
    waiting: list[tuple[str, object]] = [("overrides", value)] if value is not None else []
    while waiting:
        key, one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.items()
        else:
            yield key, one


def _entries(lock: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and entry of every package of a lock of any version; of version 2 both of its tables."""
    for place, entry in table(lock.get("packages")).items():
        if place and isinstance(entry, dict):
            yield place, entry
    waiting = [("", table(lock.get("dependencies")))]
    while waiting:
        above, dependencies = waiting.pop()
        for name, entry in dependencies.items():
            if isinstance(entry, dict):
                place = f"{above}{name}"
                yield place, entry
                waiting.append((f"{place} > ", table(entry.get("dependencies"))))


# --- what goes out --------------------------------------------------------------------------------------------


def _files(
    wanted: Wanted, manifest_path: str, manifest: str, lock: dict[str, Any], found: dict[str, Any]
) -> dict[str, str]:
    base, final = found["base"] or lock, found["final"]
    if _versions(base) != _versions(lock):
        raise CannotRenew("package-lock.json is not what npm makes of package.json; run npm install first")
    document = json_text.merged(lock, base, final)
    _check_new(lock, document, resolved=any("resolved" in entry for _, entry in _entries(lock)))
    text = json_text.written(document, wanted.text)
    if text is None:
        raise CannotRenew("the lock file is not laid out as npm lays it out; more than the change would be rewritten")
    files = {wanted.path: text}
    changed = json_text.replaced(
        manifest, [(str(section), str(key), str(value)) for section, key, value in found["ranges"]]
    )
    if found["overrides"]:
        overrides = dict(table(json.loads(limits.without_mark(changed)).get("overrides")))
        for parent, name, target in found["overrides"]:
            overrides[str(parent)] = {**table(overrides.get(parent)), str(name): str(target)}
        changed = json_text.with_member(changed, "overrides", overrides)
    if changed != manifest:
        files[manifest_path] = changed
    return files


def _versions(lock: Mapping[str, Any]) -> dict[str, Any]:
    return {place: entry.get("version") for place, entry in _entries(lock)}


def _check_new(old: Mapping[str, Any], new: Mapping[str, Any], *, resolved: bool) -> None:
    """Every entry that is not as it was names an exact version of the public registry with its hash. Raises CannotRenew."""
    before = dict(_entries(old))
    for place, entry in _entries(new):
        if before.get(place) == entry:
            continue
        version, address, integrity = (entry.get(key) for key in ("version", "resolved", "integrity"))
        good = isinstance(version, str) and VERSION.fullmatch(version) and not entry.get("link")
        good = good and (_is_public(address) if resolved else address is None)
        if not good or not isinstance(integrity, str) or not INTEGRITY.fullmatch(integrity):
            if entry.get("inBundle") or entry.get("bundled"):
                continue
            raise CannotRenew(f"npm gave no exact public release with its hash for {limits.shown(place)}")


# --- the registry ---------------------------------------------------------------------------------------------


def answer(client: httpx.Client, path: str, public: str = PUBLIC_REGISTRY) -> bytes | None:
    """The packument behind a path asked for from inside, or None. Raises RegistryUnreachable, CannotRenew."""
    name = unquote(path.removeprefix("/"))
    return packument_of(client, name, public) if _NAME.fullmatch(name) else None


def packument_of(client: httpx.Client, name: str, public: str = PUBLIC_REGISTRY) -> bytes | None:
    """What the registry knows of a package, cut to what npm decides by, its addresses below ``public``. None: no such package."""
    found = fetch.get(client, registry_address() + quote(name, safe="@"), accept="application/json")
    if found is None:
        return None
    try:
        whole = json.loads(found.content)
        versions = {version: _cut(name, version, one, public) for version, one in whole["versions"].items()}
        tags = {tag: version for tag, version in whole.get("dist-tags", {}).items() if version in versions}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CannotRenew(f"the registry's answer for {limits.shown(name)} cannot be read") from error
    return json.dumps({"name": name, "dist-tags": tags, "versions": versions}).encode()


def _cut(name: str, version: str, manifest: Mapping[str, Any], public: str) -> dict[str, Any]:
    kept = {key: value for key, value in manifest.items() if key in _KEPT}
    scripts = {key: value for key, value in table(manifest.get("scripts")).items() if key in _INSTALL_SCRIPTS}
    if scripts:
        kept["scripts"] = scripts
    dist = table(manifest.get("dist"))
    # A mirror's address never leaves this machine: the public one is made of the name and the file's name.
    file = urlsplit(str(dist.get("tarball", ""))).path.rpartition("/")[2] or f"{name.rpartition('/')[2]}-{version}.tgz"
    kept["dist"] = {key: dist[key] for key in ("integrity", "shasum") if key in dist}
    kept["dist"]["tarball"] = f"{public}{name}/-/{file}"
    return kept


def registry_address() -> str:
    """The registry that is set, else the one the installers are configured for, with a slash at its end."""
    address = registries.address_of("npm")
    return address.rstrip("/") + "/" if address else _installers_registry()


@functools.cache
def _installers_registry() -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = run_tool(["npm", "config", "get", "registry"], cwd=Path(folder), timeout_s=60)
        except EnvironmentFailed as error:
            raise CannotRenew(f"npm cannot be asked for its registry: {error}") from error
    address = done.stdout.strip()
    if done.returncode != 0 or urlsplit(address).scheme not in ("http", "https"):
        return PUBLIC_REGISTRY
    return address.rstrip("/") + "/"


def _npm_folder() -> Path:
    found = shutil.which("npm")
    folder = Path(found).resolve().parents[1] if found else None
    if folder is None or not (folder / "node_modules" / "semver").is_dir():
        raise CannotRenew("npm is not installed where its resolver can be shown to the sandbox")
    return folder
