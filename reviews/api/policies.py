"""Policies and reflexes: read by all who may read, written by those who administer; the dry run, and the switch beside them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Prefetch, QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from reviews import automatic
from reviews.api import policy_shapes as shapes
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, PAGING, WRITE_ERRORS, View, given, only, valid
from reviews.api.pages import Order, page
from reviews.api.shapes import Strict
from reviews.models import AutomaticSwitch, Rule, RuleKind, RuleVersion, SwitchState
from reviews.policies import services
from reviews.policies.dry_run import dry_run
from reviews.policies.record import dry_run_record

LATEST = 50


class RuleView(View):
    """What policies and reflexes have in common: the same table, another kind."""

    kind: ClassVar[str] = RuleKind.POLICY

    def who(self, request: Request) -> dict[str, Any]:
        return {"account": account(request), "viewer": viewer(request)}

    def rows(self) -> QuerySet[Rule]:
        return Rule.objects.filter(kind=self.kind).select_related("active")

    def rule(self, pk: Any) -> Rule:
        found = self.rows().filter(pk=pk).first()
        if found is None:
            raise Http404
        return found

    def listed(self, request: Request) -> Response:
        only(request, "limit", "cursor")
        items, following = page(request, self.rows(), Order(("position", "id")))
        return Response({"items": shapes.RuleShape(items, many=True).data, "next": following})

    def shown(self, pk: Any, status: int = 200) -> Response:
        # A window of each: versions only grow.
        versions = RuleVersion.objects.order_by("-number")[:LATEST]
        rows = self.rows().prefetch_related(Prefetch("versions", versions, "latest_versions"))
        found = rows.filter(pk=pk).first()
        if found is None:
            raise Http404
        headers = {"Location": f"/hitl/{_PATHS[self.kind]}/{pk}"} if status == 201 else {}
        return Response(shapes.RuleDetail(found).data, status=status, headers=headers)

    def make(self, request: Request, shape: type[Strict]) -> Response:
        services.may_change(viewer(request))
        data = valid(shape, request)
        made = services.make_rule(
            **self.who(request), kind=self.kind, name=data["name"], content=data["content"], note=data["note"]
        )
        return self.shown(made.rule_id, 201)

    def edit(self, request: Request, pk: Any, shape: type[Strict]) -> Response:
        services.may_change(viewer(request))
        data = valid(shape, request)
        services.edit_rule(
            **self.who(request), rule=self.rule(pk), content=data["content"], note=data["note"], seen=data.get("seen")
        )
        return self.shown(pk)

    def on(self, request: Request, pk: Any) -> Response:
        services.may_change(viewer(request))
        number = valid(shapes.SwitchOnRequest, request)["version"]
        services.switch_on(**self.who(request), rule=self.rule(pk), number=number)
        return self.shown(pk)

    def off(self, request: Request, pk: Any) -> Response:
        services.switch_off(**self.who(request), rule=self.rule(pk))
        return self.shown(pk)


_PATHS: dict[str, str] = {RuleKind.POLICY: "policies", RuleKind.REFLEX: "reflexes"}


class Policies(RuleView):
    """The policies in their order, and making one, which starts switched off."""

    @extend_schema(operation_id="policies_list", parameters=PAGING, responses={200: shapes.RulePage, **ERRORS})
    def get(self, request: Request) -> Response:
        return self.listed(request)

    @extend_schema(
        operation_id="policies_create",
        request=shapes.PolicyRequest,
        responses={201: shapes.RuleDetail, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        return self.make(request, shapes.PolicyRequest)


class PolicyDetail(RuleView):
    """One policy with its versions."""

    @extend_schema(operation_id="policies_detail", responses={200: shapes.RuleDetail, **ERRORS})
    def get(self, request: Request, pk: Any) -> Response:
        return self.shown(pk)


class PolicyVersions(RuleView):
    """Makes the next version of a policy; the one that is switched on stays until another is."""

    @extend_schema(
        operation_id="policies_edit",
        request=shapes.PolicyVersionRequest,
        responses={200: shapes.RuleDetail, **WRITE_ERRORS},
    )
    def post(self, request: Request, pk: Any) -> Response:
        return self.edit(request, pk, shapes.PolicyVersionRequest)


class PolicyOn(RuleView):
    """Lets one version of a policy speak."""

    @extend_schema(
        operation_id="policies_switch_on",
        request=shapes.SwitchOnRequest,
        responses={200: shapes.RuleDetail, **WRITE_ERRORS},
    )
    def post(self, request: Request, pk: Any) -> Response:
        return self.on(request, pk)


class PolicyOff(RuleView):
    """Silences a policy."""

    @extend_schema(operation_id="policies_switch_off", request=None, responses={200: shapes.RuleDetail, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        return self.off(request, pk)


class PolicyOrder(RuleView):
    """Puts the policies into an order that names every one of them once; the first whose conditions hold speaks."""

    @extend_schema(
        operation_id="policies_order",
        request=shapes.RuleOrderRequest,
        responses={200: shapes.RuleOrder, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        services.may_change(viewer(request))
        order = valid(shapes.RuleOrderRequest, request)["order"]
        services.order_rules(**self.who(request), kind=self.kind, order=order)
        return Response({"items": shapes.RuleShape(self.rows().order_by("position", "pk"), many=True).data})


class PolicyDryRun(RuleView):
    """What a version would have said, in its place among the policies, of the latest rounds people decided. Nothing changes."""

    @extend_schema(
        operation_id="policies_dry_run",
        parameters=[
            OpenApiParameter(
                "version",
                {"type": "integer", "minimum": 1, "maximum": shapes.LARGEST_NUMBER},
                description="the latest without it",
            )
        ],
        responses={200: shapes.DryRunShape, **ERRORS},
    )
    def get(self, request: Request, pk: Any) -> Response:
        only(request, "version")
        versions = self.rule(pk).versions.select_related("team", "rule").order_by("-number")
        if (number := given(request, "version")) is not None:
            fits = number.isascii() and number.isdigit() and len(number) < 11 and int(number) <= shapes.LARGEST_NUMBER
            versions = versions.filter(number=int(number)) if fits else versions.none()
        version = versions.first()
        if version is None:
            raise Http404
        return Response(dry_run_record(dry_run(viewer(request), version)))


class Reflexes(RuleView):
    """The reflex rules, and making one, which starts switched off. They raise, start and tell; they never approve."""

    kind = RuleKind.REFLEX

    @extend_schema(operation_id="reflexes_list", parameters=PAGING, responses={200: shapes.RulePage, **ERRORS})
    def get(self, request: Request) -> Response:
        return self.listed(request)

    @extend_schema(
        operation_id="reflexes_create",
        request=shapes.ReflexRequest,
        responses={201: shapes.RuleDetail, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        return self.make(request, shapes.ReflexRequest)


class ReflexDetail(RuleView):
    """One reflex rule with its versions."""

    kind = RuleKind.REFLEX

    @extend_schema(operation_id="reflexes_detail", responses={200: shapes.RuleDetail, **ERRORS})
    def get(self, request: Request, pk: Any) -> Response:
        return self.shown(pk)


class ReflexVersions(RuleView):
    """Makes the next version of a reflex rule; the one that is switched on stays until another is."""

    kind = RuleKind.REFLEX

    @extend_schema(
        operation_id="reflexes_edit",
        request=shapes.ReflexVersionRequest,
        responses={200: shapes.RuleDetail, **WRITE_ERRORS},
    )
    def post(self, request: Request, pk: Any) -> Response:
        return self.edit(request, pk, shapes.ReflexVersionRequest)


class ReflexOn(RuleView):
    """Lets one version of a reflex rule act, also on what is there already."""

    kind = RuleKind.REFLEX

    @extend_schema(
        operation_id="reflexes_switch_on",
        request=shapes.SwitchOnRequest,
        responses={200: shapes.RuleDetail, **WRITE_ERRORS},
    )
    def post(self, request: Request, pk: Any) -> Response:
        return self.on(request, pk)


class ReflexOff(RuleView):
    """Silences a reflex rule; what it raised stays raised."""

    kind = RuleKind.REFLEX

    @extend_schema(operation_id="reflexes_switch_off", request=None, responses={200: shapes.RuleDetail, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        return self.off(request, pk)


class Automatic(View):
    """Whether anything may be approved without people at all."""

    @extend_schema(operation_id="automatic_detail", responses={200: shapes.SwitchShape, **ERRORS})
    def get(self, request: Request) -> Response:
        return _switch()


class Arm(View):
    """Lets policy approve without people where it allows that. Takes a person who administers and signed in."""

    @extend_schema(
        operation_id="automatic_arm",
        request=shapes.ReasonRequest,
        responses={200: shapes.SwitchShape, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        services.may_change(viewer(request))
        reason = valid(shapes.ReasonRequest, request)["reason"]
        automatic.arm(account=account(request), viewer=viewer(request), reason=reason)
        return _switch()


class Disarm(View):
    """Stops every approval without people, and takes back those the forge has not begun with. Takes the right to decide or operate."""

    @extend_schema(
        operation_id="automatic_disarm",
        request=shapes.ReasonRequest,
        responses={200: shapes.SwitchShape, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        automatic.may_disarm(viewer(request))
        reason = valid(shapes.ReasonRequest, request)["reason"]
        automatic.disarm_by(account=account(request), viewer=viewer(request), reason=reason)
        return _switch()


def _switch() -> Response:
    row = AutomaticSwitch.objects.select_related("changed_by").first()
    if row is None:  # never armed: it has not changed since there is anything
        return Response({"state": SwitchState.DISARMED, "reason": "", "changed_by": "", "changed_at": None})
    return Response(shapes.SwitchShape(row).data)
