"""The console in Portuguese: every string has its translation, and the compiled catalogue is the one in the sources."""

from __future__ import annotations

import gettext
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils.translation.template import templatize

from immune.models import Account
from tests.reviews import cast as builders
from tests.reviews.cast import Cast

ROOT = Path(settings.BASE_DIR)
FOLDER = ROOT / "locale" / "pt_BR" / "LC_MESSAGES"
_CALL = re.compile(r"""\b(?:_|gettext|gettext_lazy|ngettext)\(\s*u?(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")


def compiler() -> Any:
    spec = importlib.util.spec_from_file_location("compile_messages", ROOT / "deploy" / "compile_messages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def strings() -> set[str]:
    found = set()
    for path in [*(ROOT / "reviews" / "console").glob("*.py"), ROOT / "reviews" / "templatetags" / "console.py"]:
        found |= {first or second for first, second in _CALL.findall(path.read_text())}
    for path in [*(ROOT / "templates" / "console").glob("*.html"), *(ROOT / "templates" / "admin").glob("*.html")]:
        found |= {first or second for first, second in _CALL.findall(templatize(path.read_text()))}
    return {text.replace("\\'", "'").replace('\\"', '"') for text in found}


def test_the_compiled_catalogue_is_current() -> None:
    module = compiler()
    source = (FOLDER / "django.po").read_text(encoding="utf-8")
    assert (FOLDER / "django.mo").read_bytes() == module.compiled(module.read(source)), (
        "run python deploy/compile_messages.py"
    )


def test_what_we_compile_gettext_reads() -> None:
    with (FOLDER / "django.mo").open("rb") as file:
        found = gettext.GNUTranslations(file)
    assert found.gettext("Reviews") == "Revisões"
    assert found.ngettext("%d day", "%d days", 1) == "%d dia"
    assert found.ngettext("%d day", "%d days", 2) == "%d dias"


def test_every_string_of_the_console_is_translated() -> None:
    module = compiler()
    catalogue = module.read((FOLDER / "django.po").read_text(encoding="utf-8"))
    known = {key.split("\0")[0] for key in catalogue}
    assert len(strings()) > 150
    assert sorted(strings() - known) == []


def test_placeholders_survive_translation() -> None:
    catalogue = compiler().read((FOLDER / "django.po").read_text(encoding="utf-8"))
    for key, text in catalogue.items():
        for form in text.split("\0"):
            assert set(re.findall(r"%\(\w+\)[sd]|%[sd]", form)) == set(re.findall(r"%\(\w+\)[sd]|%[sd]", key)), key


def test_a_line_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2"):
        compiler().read('msgid "a"\nnonsense\n')


def test_a_person_switches_the_language(cast: Cast, signed_in: Callable[[Account], Client]) -> None:
    client = signed_in(cast.rita)
    review = builders.proved_review(cast)
    client.post("/i18n/setlang/", {"language": "pt-br", "next": "/admin/"})
    page = client.get(f"/admin/reviews/review/{review.pk}/change/").content.decode()
    for words in ("Justificativa", "Aprovar", "correção eficaz", "Por que esta prioridade"):
        assert words in page


def test_no_page_mixes_languages_where_others_wrote_its_words(
    cast: Cast, signed_in: Callable[[Account], Client]
) -> None:
    """What Unfold says brings no Portuguese of its own, and an app's name stands in the way to each page."""
    client = signed_in(cast.rita)
    client.post("/i18n/setlang/", {"language": "pt-br", "next": "/admin/"})
    empty = client.get("/admin/immune/job/").content.decode()
    for words in ("Type to search", "No results found", "Reset filters", "yielded"):
        assert words not in empty, words
    page = client.get("/admin/reviews/review/").content.decode()
    assert not re.search(r">\s*Reviews\s*<", page)


def test_notices_and_advisories_have_names_of_their_own() -> None:
    """They stand below one another in the menu; both are "avisos" to whoever translates one without the other."""
    catalogue = compiler().read((FOLDER / "django.po").read_text(encoding="utf-8"))
    assert catalogue["Notices"] != catalogue["Advisories"]
    assert catalogue["notices"] != catalogue["advisories"]


def test_the_live_page_speaks_portuguese(cast: Cast, signed_in: Callable[[Account], Client]) -> None:
    answer = signed_in(cast.rita).get("/dashboard/", headers={"accept-language": "pt-BR"})
    assert ("open", "aberto") in answer.context["columns"]
    words = answer.context["start"]["words"]
    assert (words["verdict_PATCH_EFFECTIVE"], words["severity_CRITICAL"]) == ("correção eficaz", "crítica")
