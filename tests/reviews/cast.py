"""A small cast with fixed meanings: Rita reviews, Sol reviews too, Otto is an outsider; one demo repository and its remedies.

Rows are made model by model, so that a test says what it starts from without waiting for the pipeline.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

from django.utils import timezone

from immune.events.actors import SYSTEM
from immune.events.log import act
from immune.models import (
    APV,
    Account,
    Advisory,
    Aftermath,
    AliasGroup,
    Freeze,
    Remedy,
    Repository,
    Role,
    Suppression,
    Team,
)
from immune.models.apvs import APVStatus
from immune.models.remedies import RemedyState
from immune.people.selectors import viewer_of
from reviews import rounds
from reviews.models import Review, Rule, RuleVersion
from reviews.policy.content import checked, digest
from reviews.policy.reflex import checked_rule
from wargaming import attached as attaching
from wargaming.models import AttachedScenario, Evidence, Run, Trust, Wargame, WargameState

PASSWORD = "correct horse battery staple"
_numbers = count(1)

FACTORS = [
    {"name": "proof", "weight": 0.25, "value": 0.8, "why": "judged by the script itself, protocol 2"},
    {"name": "scenario_source", "weight": 0.10, "value": 1.0, "why": "shipped"},
    {"name": "variants", "weight": 0.10, "value": 0.4, "why": "1 reproduction(s)"},
    {"name": "repeats", "weight": 0.10, "value": 1.0, "why": "3 equal run(s)"},
    {"name": "controls", "weight": 0.10, "value": 1.0, "why": "pass"},
    {"name": "own_tests", "weight": 0.10, "value": 1.0, "why": "passed"},
    {"name": "versions_observed", "weight": 0.10, "value": 1.0, "why": "as asked, seen inside"},
    {"name": "margins", "weight": 0.05, "value": 1.0, "why": "12% of the nearest limit used"},
    {"name": "reachability", "weight": 0.05, "value": 0.0, "why": "not known"},
    {"name": "driver", "weight": 0.05, "value": 1.0, "why": "bubblewrap"},
]
PRIORITY_FACTORS = [
    {"name": "severity", "value": "HIGH (7.5)", "weight": 30},
    {"name": "known_exploited", "value": "no", "weight": 0},
    {"name": "epss", "value": "unknown", "weight": 3},
    {"name": "direct", "value": "yes", "weight": 5},
    {"name": "fix_available", "value": "yes", "weight": 5},
]
OUTCOMES = {
    "PATCH_EFFECTIVE": ("pass", "present", "pass", "absent"),
    "PATCH_INSUFFICIENT": ("pass", "present", "pass", "present"),
    "REGRESSION": ("pass", "present", "fail", "absent"),
    "NOT_REPRODUCED": ("pass", "absent", "pass", "absent"),
    "INCONCLUSIVE": ("pass", "timeout", "pass", "absent"),
}


def account(username: str, role: str = Role.REVIEWER, **more: Any) -> Account:
    made = Account(username=username, role=role, is_staff=True, **more)
    made.set_password(PASSWORD)
    made.save()
    return made


@dataclass
class Cast:
    """Who and what a test starts with. Rita and Sol are of the team that owns the demo repository; Otto is of another."""

    rita: Account = field(
        default_factory=lambda: account("rita", first_name="Rita", last_name="Reis", email="rita@team.example")
    )
    sol: Account = field(default_factory=lambda: account("sol", first_name="Sol", last_name="Serra"))
    otto: Account = field(default_factory=lambda: account("otto", first_name="Otto", last_name="Outside"))
    repository: Repository = field(default_factory=lambda: repository("demo/noticeboard"))
    team: Team = field(init=False)
    other_team: Team = field(init=False)

    def __post_init__(self) -> None:
        self.team = Team.objects.create(name="Board")
        self.team.members.add(self.rita, self.sol)
        self.team.repositories.add(self.repository)
        self.other_team = Team.objects.create(name="Elsewhere")
        self.other_team.members.add(self.otto)

    def person(self, role: str) -> Account:
        """Somebody of this role in the demo repository's team."""
        made = account(f"the-{role}", role)
        self.team.members.add(made)
        return made


def repository(name: str) -> Repository:
    return Repository.objects.create(
        name=name, location=f"https://git.example/{name}.git", default_branch="main", is_demo=True
    )


def advisory(name: str, *, severity: str = "HIGH", score: float | None = 7.5, **more: Any) -> Advisory:
    group = AliasGroup.objects.create(canonical_id=name)
    found = {
        "aliases": [f"CVE-2099-{next(_numbers):04d}"],
        "summary": "Session cookies are sent to a foreign host after a redirect",
        "details": "When a redirect leads to another host, the library keeps sending what belonged to the first one.",
        "references": [{"type": "WEB", "url": "https://advisories.example/one"}],
        "published": timezone.now() - timedelta(days=20),
        "modified": timezone.now() - timedelta(days=2),
        **more,
    }
    return Advisory.objects.create(
        id=name, group=group, severity=severity, score=score, digest=hashlib.sha256(name.encode()).hexdigest(), **found
    )


def apv(where: Repository, record: Advisory, *, package: str = "requests", **more: Any) -> APV:
    number = next(_numbers)
    found = {
        "apv_code": f"APV-2026-{number:06d}",
        "cve_id": record.aliases[0] if record.aliases else "",
        "severity": record.severity,
        "score": record.score,
        "versions": ["2.31.0"],
        "fixed_versions": ["2.32.4"],
        "manifests": [{"path": "requirements.txt", "line": 3}],
        "priority": "P2",
        "priority_factors": PRIORITY_FACTORS,
        "due_at": timezone.now() + timedelta(days=3),
        "status": APVStatus.WARGAMING,
        **more,
    }
    return APV.objects.create(
        repository=where, group=record.group, advisory_id=record.pk, ecosystem="PyPI", package_name=package, **found
    )


def patch(package: str, old: str, new: str) -> str:
    return (
        "diff --git a/requirements.txt b/requirements.txt\n--- a/requirements.txt\n+++ b/requirements.txt\n"
        "@@ -1,5 +1,5 @@\n # what the board needs\n flask==3.0.0\n"
        f"-{package}=={old}  # keep in step with the proxy\n+{package}=={new}  # keep in step with the proxy\n"
        " waitress==3.0.1\n jinja2==3.1.6\n"
    )


def remedy(
    where: Repository, *apvs: APV, package: str = "requests", old: str = "2.31.0", new: str = "2.32.4", **more: Any
) -> Remedy:
    text = more.pop("patch", patch(package, old, new))
    number = next(_numbers)
    found = {
        "strategy": "version_bump",
        "bump": "minor",
        "state": RemedyState.PROPOSED,
        "branch": f"immune/{package}-{new}",
        "base_commit": hashlib.sha1(f"base{number}".encode()).hexdigest(),
        "head_commit": hashlib.sha1(f"head{number}".encode()).hexdigest(),
        "pull_request_number": number,
        **more,
    }
    made = Remedy.objects.create(
        repository=where,
        ecosystem="PyPI",
        package_name=package,
        from_version=old,
        target_version=new,
        patch=text,
        patch_digest=hashlib.sha256(text.encode(errors="replace")).hexdigest(),
        **found,
    )
    APV.objects.filter(pk__in=[one.pk for one in apvs]).update(remedy=made)
    return made


def wargame(
    change: Remedy,
    threat: APV,
    verdict: str = "PATCH_EFFECTIVE",
    *,
    confidence: float | None = 0.81,
    repeats: int = 3,
    **more: Any,
) -> Wargame:
    found = {
        "scenario": "requests-cve-2024-35195",
        "trust": Trust.SHIPPED,
        "reason": "" if verdict == "PATCH_EFFECTIVE" else "reproduce_before_timeout",
        "explanation": "" if verdict == "PATCH_EFFECTIVE" else "The reproduction did not end within its time.",
        "factors": FACTORS,
        "driver": "bubblewrap",
        "environments": {
            "before": {
                "layer": "b" * 40,
                "observed": [f"requests {change.from_version}", "urllib3 2.2.1", "idna 3.10"],
                "from_source": [],
            },
            "after": {
                "layer": "d" * 40,
                "observed": [f"requests {change.target_version}", "urllib3 2.2.1", "idna 3.10"],
                "from_source": [
                    "urllib3 2.2.1 built from source here (wheel sha256:0, from urllib3-2.2.1.tar.gz sha256:1)"
                ],
            },
        },
        "own_tests": {"status": "passed", "command": "pytest", "broken": [], "why": "", "seconds": [1.0, 1.0]},
        "evidence": Evidence.objects.get_or_create(
            digest=hashlib.sha256(str(threat.pk).encode()).hexdigest(), defaults={"archive": b"archive"}
        )[0],
        **more,
    }
    digest = hashlib.sha256(f"{threat.pk}{found['scenario']}".encode()).hexdigest()
    found.setdefault("state", WargameState.FINISHED)
    made = Wargame.objects.create(
        apv=threat,
        remedy=change,
        scenario_digest=digest,
        base_commit=change.base_commit,
        head_commit=change.head_commit,
        patch_digest=change.patch_digest,
        verdict=verdict,
        confidence=0.0 if verdict == "INCONCLUSIVE" else confidence,
        **found,
    )
    numbers = count(1)
    steps = [("control", "before"), ("reproduce", "before"), ("control", "after"), ("reproduce", "after")]
    for (step, phase), outcome in zip(steps, OUTCOMES[verdict], strict=True):
        for _ in range(repeats):
            run(made, next(numbers), step, phase, outcome)
    APV.objects.filter(pk=threat.pk).update(wargame_verdict=verdict, wargame_confidence=made.confidence)
    return made


def run(game: Wargame, number: int, step: str, phase: str, outcome: str, **more: Any) -> Run:
    said = {
        "pass": (0, "CONTROL OK: 7f3a cookies stay with their own host"),
        "present": (1, "REPRODUCED: 7f3a the foreign host received the session cookie"),
        "absent": (0, "NOT PRESENT: 7f3a the foreign host received no cookie"),
        "fail": (1, "AssertionError: no answer from the own host"),
        "timeout": (None, ""),
    }[outcome]
    found = {
        "exit_code": said[0],
        "last_line": said[1],
        "stdout": f"starting two servers\nGET / → 302\n{said[1]}\n",
        "seconds": 0.42,
        "peak_memory": 38 * 1024 * 1024,
        **more,
    }
    return Run.objects.create(wargame=game, number=number, step=step, phase=phase, outcome=outcome, **found)


def set_aside(where: Repository, author: Account, name: str = "aside") -> Suppression:
    """One APV of the repository, suppressed by somebody."""
    threat = apv(where, advisory(f"GHSA-{name}-{next(_numbers)}"), package=name, status=APVStatus.SUPPRESSED)
    return Suppression.objects.create(
        apv=threat, ground="accepted_risk", reason="x", author=author, expires_at="2999-01-01T00:00Z"
    )


REFLEX = {"known_exploited": True, "notify": True}


def rule(kind: str = "policy", name: str = "first", **content: Any) -> RuleVersion:
    """The first version of a rule, switched off."""
    found = Rule.objects.create(kind=kind, name=name, position=Rule.objects.filter(kind=kind).count() + 1)
    whole = checked_rule(content or REFLEX) if kind == "reflex" else checked(content)
    return RuleVersion.objects.create(rule=found, number=1, content=whole, digest=digest(whole), made_by_name="Ada")


def freeze(where: Repository | None = None) -> Freeze:
    """A freeze that holds, of a repository or of everything."""
    now = timezone.now()
    span = {"starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(days=1)}
    return Freeze.objects.create(repository=where, reason="The release is cut on Friday.", **span)


def alarmed(where: Repository, package: str = "merged", **more: Any) -> Aftermath:
    """A merged change whose checks turned red after it."""
    change = remedy(where, package=package, state=RemedyState.MERGED, merge_commit="c" * 40)
    found = {"state": "alarmed", "cause": "checks_red", "detail": "build", "alarmed_at": timezone.now(), **more}
    return Aftermath.objects.create(repository=where, remedy=change, until=timezone.now() + timedelta(days=3), **found)


def review(change: Remedy, because: str = "The wargames have ended.") -> Review:
    """Opens the round as the system does when the last wargame ends."""
    with act(SYSTEM) as log:
        made = rounds.open_round(log, remedy=change, because=because)
    assert made is not None
    return made


def proved_review(
    cast: Cast, *, apvs: int = 1, verdict: str = "PATCH_EFFECTIVE", package: str = "requests", **more: Any
) -> Review:
    """One open review of a proved change to the demo repository."""
    where = more.pop("where", cast.repository)
    threats = [
        apv(where, advisory(f"GHSA-{package}-{next(_numbers):04d}-demo"), package=package, **more) for _ in range(apvs)
    ]
    change = remedy(where, *threats, package=package)
    for threat in threats:
        wargame(change, threat, verdict)
    return review(change)


def scenario(threat: APV, **more: str) -> dict[str, bytes]:
    """The files of a sound scenario for an APV; ``more`` are keys of its case.yaml."""
    case = {
        "id": "theirs",
        "ecosystem": "PyPI",
        "package": threat.package_name,
        "cve": threat.cve_id,
        "vulnerable_version": "'2.31.0'",
        "fixed_version": "'2.32.4'",
        **more,
    }
    return {
        "case.yaml": "".join(f"{key}: {value}\n" for key, value in case.items()).encode(),
        "reproduce.py": b"print('NOT PRESENT: nothing')\n",
        "control.py": b"print('CONTROL OK: fine')\n",
    }


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def attached(threat: APV, *, by: Account, **more: str) -> AttachedScenario:
    """A scenario that somebody attached to an APV, through the service."""
    return attaching.attach(account=by, viewer=viewer_of(by), apv=threat, archive=zipped(scenario(threat, **more)))
