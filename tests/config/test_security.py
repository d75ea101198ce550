"""What browsers are told they may run."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils.module_loading import import_string

from config import security


def policy(answer: Any) -> dict[str, list[str]]:
    parts = [part.split() for part in answer["Content-Security-Policy"].split(";")]
    return {part[0]: part[1:] for part in parts}


@pytest.mark.django_db
def test_no_page_may_run_inline_script_or_load_from_elsewhere() -> None:
    for path in ("/admin/login/", "/nowhere/"):
        found = policy(Client().get(path))
        assert found["default-src"] == ["'none'"]
        assert "'unsafe-inline'" not in found["script-src"]
        assert found["frame-ancestors"] == ["'none'"]
        assert found["base-uri"] == ["'none'"]
        assert not any("*" in source or "http" in source for sources in found.values() for source in sources)


@pytest.mark.django_db
def test_only_the_console_may_build_functions_from_text() -> None:
    assert "'unsafe-eval'" in policy(Client().get("/admin/login/"))["script-src"]
    assert policy(Client().get("/nowhere/"))["script-src"] == ["'self'"]


@pytest.mark.django_db
def test_the_pages_hold_no_inline_script() -> None:
    page = Client().get("/admin/login/").content.decode()
    assert "<script" in page
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page) == []
    assert re.findall(r"\son\w+=", page) == []


def test_an_answer_with_its_own_policy_keeps_it() -> None:
    own = HttpResponse(headers={"Content-Security-Policy": "sandbox"})
    middleware = import_string("config.security.ContentPolicyMiddleware")(lambda request: own)
    assert middleware(RequestFactory().get("/admin/"))[security.HEADER] == "sandbox"


@pytest.mark.django_db
def test_a_host_that_is_not_ours_is_refused_and_costs_one_line_of_log(caplog: Any) -> None:
    answer = Client().get("/admin/login/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    said = [record for record in caplog.records if record.name == "django.security.DisallowedHost"]
    assert len(said) == 1
    assert said[0].exc_info is None
