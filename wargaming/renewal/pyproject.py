"""pyproject.toml: changed together with the lock file beside it, by the tool whose lock that is; alone where there is none."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from immune.formats.documents import table
from immune.renewal import CannotRenew, Renewer, Wanted, one_target
from wargaming.renewal import fetch, poetry, pypi, toml_text

OTHER_LOCKS = ("pdm.lock",)


def renewer(locks: dict[str, Renewer], alone: Renewer) -> Renewer:
    """Renews a pyproject.toml by the first of ``locks`` (file name, who renews it) that stands beside it, else by ``alone``."""

    def renew(wanted: Wanted) -> dict[str, str]:
        folder = posixpath.dirname(wanted.path)
        for name, renew_lock in locks.items():
            path = posixpath.join(folder, name)
            if (text := wanted.read(path)) is not None:
                return renew_lock(replace(wanted, path=path, text=text))
        for name in OTHER_LOCKS:
            if wanted.read(posixpath.join(folder, name)) is not None:
                raise CannotRenew(f"changes to the {name} beside it are not prepared yet")
        return _poetry_alone(wanted) if _is_poetrys(wanted) else alone(wanted)

    return renew


def _is_poetrys(wanted: Wanted) -> bool:
    document = toml_text.document(wanted.path, wanted.text)
    return "dependencies" in table(table(document.get("tool")).get("poetry"))


def _poetry_alone(wanted: Wanted) -> dict[str, str]:
    poetry.refuse_places(wanted, wanted.path, wanted.text)
    target = one_target(wanted)
    with fetch.client() as client:
        pypi.release(client, wanted.name, target)
    return {wanted.path: poetry.with_target(wanted.path, wanted.text, wanted.name, target)}
