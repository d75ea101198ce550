"""``manage.py policy_dry_run``: what the policies would have said of what people decided."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from immune.command import BadInput, Exit, JSONCommand
from immune.people.selectors import EVERYTHING
from reviews.models import Rule, RuleKind, RuleVersion
from reviews.policies.dry_run import MOST, DryRun, dry_run
from reviews.policies.record import dry_run_record


class Command(JSONCommand):
    help = (
        "Try policies on the latest rounds that people decided and say what they would have recommended, how many approvals they "
        "would have asked for and what they would have approved without people. Nothing changes. Exit 0 done, 1 something would "
        "have been approved without people that people did not approve, 2 no such policy."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--policy", metavar="NAME", help="try this one's latest version in its place, switched on or not"
        )
        parser.add_argument("--version-number", type=int, metavar="N", help="this version instead of the latest")
        parser.add_argument(
            "--limit", type=int, default=MOST, metavar="N", help=f"look at the latest N rounds ({MOST})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["limit"] <= 100_000:
            raise BadInput("--limit is a number from 1 to 100000")
        found = dry_run(EVERYTHING, _version(options), most=options["limit"])
        code = Exit.FOUND if found.totals["automatic_against_people"] else Exit.DONE
        self.answer(dry_run_record(found), code, form=options["format"], lines=_lines(found))


def _version(options: dict[str, Any]) -> RuleVersion | None:
    if options["policy"] is None:
        if options["version_number"] is not None:
            raise BadInput("--version-number goes with --policy")
        return None
    rule = Rule.objects.filter(kind=RuleKind.POLICY, name=options["policy"]).first()
    if rule is None:
        raise BadInput(f"there is no policy {options['policy']}")
    versions = rule.versions.select_related("team").order_by("-number")
    if options["version_number"] is not None:
        versions = versions.filter(number=options["version_number"])
    version = versions.first()
    if version is None:
        raise BadInput(f"{rule.name} has no version {options['version_number']}")
    return version


def _lines(found: DryRun) -> list[str]:
    figures = [f"{name.replace('_', ' '):<28}{count}" for name, count in found.totals.items()]
    rounds = [
        f"{','.join(line.codes)}  {line.review.remedy}  would {line.advice.recommendation}"
        f"{' without people' if line.advice.automatic else ''}  people {line.decision.decision}  {line.advice.policy}"
        for line in found.lines
    ]
    return [*figures, *rounds] if rounds else [*figures, "nobody has decided anything yet that facts were kept of"]
