"""What one npm dependency wish means: a version, a range, another name, or a place outside the registry. Pure.

Source: ``npm-package-arg`` and "package.json, dependencies" in npm's documentation; Yarn's protocols beside them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from immune.formats import limits
from immune.inventory import Origin

# node-semver's notion of one version, with the leading v and = it takes off
_EXACT = re.compile(
    r"[=v\s]*(\d+\.\d+\.\d+(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)\s*"
)
_GIT_HOST = re.compile(r"(?:git|github|gitlab|bitbucket|gist)[:+@]|ssh://|git://", re.IGNORECASE)
_SHORTHAND = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*/[A-Za-z0-9._-]+(?:#.*)?")
_PATH = re.compile(r"(?:file|link|portal|workspace):|\.{0,2}/|~/|[A-Za-z]:[\\/]", re.IGNORECASE)
_WEB = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wish:
    """A wish, understood. ``name`` is the package's own name where the wish is an alias."""

    name: str
    version: str | None
    origin: Origin
    reason: str


def wish(name: str, wanted: str) -> Wish:
    """What ``"name": "wanted"`` asks for. Total: every text means something, at worst an unresolved range."""
    wanted = wanted[: limits.MAX_STRING]
    if wanted.startswith("npm:"):
        target = wanted[4:]
        at = target.find("@", 1)
        if at == -1:
            # "npm:^1.2" (Yarn) keeps the name, "npm:other" names another package
            bare = bool(re.match(r"[\d^~<>=*vx ]|$", target))
            return wish(name, target) if bare else Wish(target, None, Origin.REGISTRY, "no version given")
        return wish(target[:at], target[at + 1 :])
    if wanted.startswith("patch:"):
        inner = unquote(wanted[6:].split("#", 1)[0])
        at = inner.find("@", 1)
        # one level is what Yarn writes; anything else stays unresolved
        inside = inner[at + 1 :] if at != -1 else ""
        return Wish(name, None, Origin.REGISTRY, "a patch") if inside.startswith("patch:") else wish(name, inside)
    if _PATH.match(wanted):
        return Wish(name, None, Origin.PATH, "comes from a path, not from the registry")
    if _GIT_HOST.match(wanted) or _SHORTHAND.fullmatch(wanted) or _is_git_url(wanted):
        return Wish(name, None, Origin.GIT, "comes from a repository, not from the registry")
    if _WEB.match(wanted):
        return Wish(name, None, Origin.URL, "comes from an address, not from the registry")
    exact = _EXACT.fullmatch(wanted)
    if exact:
        return Wish(name, exact[1], Origin.REGISTRY, "")
    reason = f"not pinned: {limits.shown(wanted)}" if wanted.strip() else "no version given"
    return Wish(name, None, Origin.REGISTRY, reason)


def _is_git_url(wanted: str) -> bool:
    return bool(_WEB.match(wanted)) and wanted.split("#", 1)[0].endswith(".git")


def resolved_origin(resolved: str, name: str, version: str) -> Origin:
    """Where a resolved address lies. A registry's tarballs stand under ``/-/`` or below ``name/version``."""
    if not resolved:
        return Origin.REGISTRY
    if _PATH.match(resolved):
        return Origin.PATH
    if _GIT_HOST.match(resolved) or _is_git_url(resolved):
        return Origin.GIT
    if not _WEB.match(resolved):
        return Origin.REGISTRY
    try:
        place = unquote(urlsplit(resolved).path)
    except ValueError:
        return Origin.URL
    return Origin.REGISTRY if "/-/" in place or f"/{name}/{version}" in place else Origin.URL


REASONS = {
    Origin.REGISTRY: "",
    Origin.GIT: "comes from a repository, not from the registry",
    Origin.URL: "comes from an address, not from the registry",
    Origin.PATH: "comes from a path, not from the registry",
}
