"""A reviewer's way through the console in a real browser, under the real content policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from immune.events.actors import COMMAND
from immune.models import ForgeJob, Role
from immune.people import services as people
from immune.services import mirror_of
from reviews.models import Decision
from tests.reviews import cast as builders
from tests.reviews import journeys
from tests.reviews.cast import PASSWORD, Cast

SECONDS = 60_000  # a loaded machine is slow, not broken


class Browser:
    """One page in a thread of its own: Playwright's loop and Django's connection do not share one."""

    def __init__(self, executable: Path, address: str) -> None:
        self.address = address
        self.complaints: list[str] = []
        self._pool = ThreadPoolExecutor(1)
        self._pool.submit(self._open, executable).result()

    def _open(self, executable: Path) -> None:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        self._page = self._browser.new_page(viewport={"width": 1400, "height": 900}, base_url=self.address)
        self._page.set_default_timeout(SECONDS)
        expect.set_options(timeout=SECONDS)
        self._page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self._page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )

    def do(self, steps: Callable[[Page], Any]) -> Any:
        return self._pool.submit(steps, self._page).result()

    def close(self) -> None:
        self._pool.submit(lambda: (self._browser.close(), self._playwright.stop())).result()
        self._pool.shutdown()


@pytest.fixture
def browser(live_server: Any, chromium: Path) -> Iterator[Browser]:
    opened = Browser(chromium, live_server.url)
    yield opened
    opened.close()


def sign_in(page: Page) -> None:
    page.goto("/admin/login/")
    page.get_by_label("Username").fill("rita")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Most urgent")).to_be_visible()


@pytest.mark.django_db(transaction=True)
def test_a_reviewer_signs_in_reads_approves_and_sees_what_the_forge_said(browser: Browser) -> None:
    cast = Cast()
    review = builders.proved_review(cast, apvs=2)
    browser.do(sign_in)

    def read_and_approve(page: Page) -> None:
        page.get_by_role("link", name="requests 2.31.0 → 2.32.4").click()
        expect(page.get_by_text("REPRODUCED: 7f3a").first).to_be_visible()
        # Keys alone: j to the justification, Escape out of it, a to the button, Enter presses it.
        page.keyboard.press("j")
        page.keyboard.type("read the evidence, small change")
        page.keyboard.press("Escape")
        page.keyboard.press("a")
        page.keyboard.press("Enter")
        expect(page.get_by_text("The forge job “merge” follows")).to_be_visible()
        expect(page.locator(".c-side .c-job-pending")).to_be_visible()

    browser.do(read_and_approve)
    decision = Decision.objects.get()
    assert (decision.decision, decision.reviewer, decision.review) == ("approve", cast.rita, review)

    ForgeJob.objects.filter(pk=decision.job_id).update(state="done", message="Merged as 1a2b3c.")
    # The page looks again by itself while a job is under way.
    browser.do(lambda page: expect(page.locator(".c-side").get_by_text("Merged as 1a2b3c.")).to_be_visible())
    assert browser.complaints == []


@pytest.mark.django_db(transaction=True)
def test_a_vulnerable_repository_is_proved_approved_in_the_browser_and_resolved(
    browser: Browser, settings: Any, tmp_path: Path
) -> None:
    settings.WORK_DIR = tmp_path / "work"
    journeys.knows_advisories()
    people.create_account(actor=COMMAND, username="rita", password=PASSWORD, role=Role.ADMIN)
    repository = journeys.register(journeys.checkout(tmp_path / "app", requirements__txt="sqlparse==0.4.4\n"))
    journeys.scan(repository)
    browser.do(sign_in)

    def read_and_approve(page: Page) -> None:
        page.get_by_role("link", name="sqlparse 0.4.4 → 0.5.0").first.click()
        expect(page.get_by_text("Recommendation: approve")).to_be_visible()
        expect(page.get_by_text("REPRODUCED:").first).to_be_visible()
        expect(page.get_by_text("NOT PRESENT:").first).to_be_visible()
        page.get_by_label("Justification").fill("The proof is plain and the step is small.")
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_text("The forge job “merge” follows")).to_be_visible()

    browser.do(read_and_approve)
    journeys.work_off()

    def resolved(page: Page) -> None:
        expect(page.locator(".c-side .c-job-done").first).to_be_visible()
        page.goto("/admin/immune/apv/")
        expect(page.get_by_text("resolved", exact=True).first).to_be_visible()

    browser.do(resolved)
    assert journeys.states(repository) == {"sqlparse": "resolved"}
    mirror = mirror_of(repository).path
    assert journeys.git(mirror, "show", "main:requirements.txt") == "sqlparse==0.5.0"


@pytest.mark.django_db(transaction=True)
def test_enter_in_a_field_decides_nothing(browser: Browser) -> None:
    review = builders.proved_review(Cast())
    browser.do(sign_in)

    def press(page: Page) -> None:
        page.goto(f"/admin/reviews/review/{review.pk}/change/")
        page.get_by_label("Justification").fill("a justification that is long enough")
        page.get_by_text("For modify: another version").click()
        page.get_by_label("Version wanted instead").press("Enter")
        expect(page.get_by_role("button", name="Approve")).to_be_visible()

    browser.do(press)
    assert not Decision.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_strangers_wrote_runs_nothing(browser: Browser) -> None:
    cast = Cast()
    attack = "<script>window.owned=1</script><img src=x onerror=window.owned=1>\u202e{{window.owned=1}}"
    record = builders.advisory("GHSA-attack", summary=attack, details=attack)
    threat = builders.apv(cast.repository, record, package=attack)
    change = builders.remedy(cast.repository, threat, package=attack, branch=attack)
    builders.wargame(change, threat, explanation=attack).runs.update(stdout=attack, last_line=attack)
    review = builders.review(change)
    browser.do(sign_in)

    def look(page: Page) -> Any:
        page.goto("/admin/reviews/review/")
        assert page.evaluate("window.owned") is None
        page.goto(f"/admin/reviews/review/{review.pk}/change/")
        for details in page.locator("details").all():
            details.evaluate("element => { element.open = true; }")
        page.wait_for_load_state("networkidle")
        return page.evaluate("window.owned")

    assert browser.do(look) is None
    assert browser.complaints == []


@pytest.mark.django_db(transaction=True)
def test_several_are_chosen_in_the_queue_and_decided_together(browser: Browser) -> None:
    cast = Cast()
    for package in ("one", "two", "three"):
        builders.proved_review(cast, package=package)
    browser.do(sign_in)

    def decide(page: Page) -> None:
        page.goto("/admin/reviews/review/")
        page.get_by_label("Choose one").check()
        page.get_by_label("Choose three").check()
        page.get_by_role("button", name="Decide the chosen ones together").click()
        page.get_by_label("Justification").fill("both of them are patch releases")
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_text("2 reviews were decided.")).to_be_visible()

    browser.do(decide)
    chosen = Decision.objects.values_list("review__remedy__package_name", flat=True)
    assert sorted(chosen) == ["one", "three"]
    assert browser.complaints == []


UNNAMED = """() => [...document.querySelectorAll('.c-page input, .c-page textarea, .c-page select, .c-page button, .c-page a')]
    .filter(e => e.type !== 'hidden' && !e.hidden)
    .filter(e => !((e.labels && e.labels.length) || e.ariaLabel || e.textContent.trim()))
    .map(e => e.outerHTML)"""

# WCAG 2.2, 1.4.3: text needs a contrast of 4.5 to what is behind it. A canvas turns any colour syntax into bytes.
PALE = """() => {
  const canvas = document.createElement('canvas'); canvas.width = canvas.height = 1;
  const brush = canvas.getContext('2d', {willReadFrequently: true});
  const bytes = (colours) => {
    brush.fillStyle = '#fff'; brush.fillRect(0, 0, 1, 1);
    for (const colour of colours) { brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1); }
    return brush.getImageData(0, 0, 1, 1).data;
  };
  const light = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => {
    const v = rgb[i] / 255; return sum + part * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const found = new Set();
  for (const e of document.querySelectorAll('.c-page *')) {
    if (!e.offsetParent || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const behind = [];
    for (let p = e; p; p = p.parentElement) behind.unshift(getComputedStyle(p).backgroundColor);
    const back = light(bytes(behind)), text = light(bytes([...behind, getComputedStyle(e).color]));
    const ratio = (Math.max(back, text) + 0.05) / (Math.min(back, text) + 0.05);
    if (ratio < 4.5) found.add(e.className + ' ' + ratio.toFixed(2) + ' ' + e.textContent.trim().slice(0, 30));
  }
  return [...found];
}"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_control_has_a_name_and_every_text_enough_contrast(browser: Browser, theme: str) -> None:
    cast = Cast()
    reviews = [builders.proved_review(cast, package=verdict.lower(), verdict=verdict) for verdict in builders.OUTCOMES]
    browser.do(sign_in)

    def look(page: Page) -> tuple[list[str], list[str]]:
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        unnamed, pale = [], []
        for review in reviews:
            page.goto(f"/admin/reviews/review/{review.pk}/change/")
            for details in page.locator("details").all():
                details.evaluate("element => { element.open = true; }")
            unnamed += page.evaluate(UNNAMED)
            pale += page.evaluate(PALE)
        return unnamed, pale

    assert browser.do(look) == ([], [])


@pytest.mark.django_db(transaction=True)
def test_a_column_of_the_live_page_counts_more_than_the_cards_it_shows(browser: Browser) -> None:
    cast = Cast()
    for number in range(63):
        builders.apv(cast.repository, builders.advisory(f"GHSA-many-{number}"), status="in_review")
    browser.do(sign_in)

    def look(page: Page) -> None:
        page.goto("/dashboard/")
        expect(page.locator('[data-status="in_review"] .card')).to_have_count(40)
        expect(page.locator('[data-status="in_review"] .count')).to_have_text("63")

    browser.do(look)
