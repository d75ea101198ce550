"""pyproject.toml without a lock file beside it: an exact version, by the grammar of the tool whose tables it has."""

from __future__ import annotations

from immune.formats.documents import table
from immune.renewal import Renewer, Wanted, one_target
from wargaming.renewal import fetch, poetry, pypi, toml_text


def renewer(standard: Renewer) -> Renewer:
    """Renews Poetry's own tables; everything else is left to ``standard``."""

    def renew(wanted: Wanted) -> dict[str, str]:
        document = toml_text.document(wanted.path, wanted.text)
        if "dependencies" not in table(table(document.get("tool")).get("poetry")):
            return standard(wanted)
        poetry.refuse_places(wanted, wanted.path, wanted.text)
        target = one_target(wanted)
        with fetch.client() as client:
            pypi.release(client, wanted.name, target)
        return {wanted.path: poetry.with_target(wanted.path, wanted.text, wanted.name, target)}

    return renew
