"""Notices out: channels of one's own and one's teams, and what was sent through them. Secrets go in, or out once; never again."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from immune.models import Team
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, PAGING, WRITE_ERRORS, View, given, only, valid
from reviews.api.pages import Order, page
from reviews.api.shapes import Strict, Text
from reviews.notices import services
from reviews.notices.content import TOPICS
from reviews.notices.models import ChannelKind, Notice, NoticeAttempt, NoticeChannel, NoticeState, Pace

LANGUAGES = f"{', '.join(code for code, _ in settings.LANGUAGES)}; empty: the site's"


class ChannelShape(serializers.ModelSerializer[NoticeChannel]):
    """A channel without its address and secret: ``shown`` is the host, or the last four characters of a routing key."""

    account = serializers.CharField(source="account.username", default=None, allow_null=True)
    team = serializers.CharField(source="team.name", default=None, allow_null=True)
    topics = serializers.ListField(child=serializers.ChoiceField(choices=list(TOPICS)))

    class Meta:
        model = NoticeChannel
        fields = (
            "id",
            "name",
            "account",
            "team",
            "kind",
            "shown",
            "topics",
            "pace",
            "hour",
            "language",
            "is_on",
            "created_at",
        )
        read_only_fields = fields


class ChannelPage(serializers.Serializer[Any]):
    items = ChannelShape(many=True)
    next = serializers.CharField(allow_null=True)


class ChannelMade(ChannelShape):
    secret = serializers.CharField(allow_null=True, help_text="what a webhook is signed with, shown this once")

    class Meta:
        model = NoticeChannel
        fields = (*ChannelShape.Meta.fields, "secret")
        read_only_fields = fields


class Topics(serializers.ListField):
    child = serializers.ChoiceField(choices=list(TOPICS))


class ChannelRequest(Strict):
    name = Text(max_length=100)
    kind = serializers.ChoiceField(choices=ChannelKind.choices)
    team_id = serializers.UUIDField(required=False, allow_null=True, help_text="for a team; else for oneself")
    address = Text(max_length=2048, required=False, default="", help_text="https address of a webhook or of Slack's")
    secret = Text(max_length=64, required=False, default="", help_text="PagerDuty's routing key")
    topics = Topics(allow_empty=False, max_length=len(TOPICS))
    pace = serializers.ChoiceField(choices=Pace.choices, required=False, default=Pace.AT_ONCE)
    hour = serializers.IntegerField(
        min_value=0, max_value=23, required=False, default=services.USUAL_HOUR, help_text="of digests and lists, UTC"
    )
    language = Text(max_length=10, required=False, default="", allow_blank=True, help_text=LANGUAGES)


class ChannelChange(Strict):
    is_on = serializers.BooleanField(required=False)
    topics = Topics(required=False, allow_empty=False, max_length=len(TOPICS))
    pace = serializers.ChoiceField(choices=Pace.choices, required=False)
    hour = serializers.IntegerField(min_value=0, max_value=23, required=False)
    language = Text(max_length=10, required=False, allow_blank=True, help_text=LANGUAGES)


class AttemptShape(serializers.ModelSerializer[NoticeAttempt]):
    class Meta:
        model = NoticeAttempt
        fields = ("at", "outcome", "status", "said", "milliseconds")
        read_only_fields = fields


class NoticeShape(serializers.ModelSerializer[Notice]):
    channel = serializers.UUIDField(source="channel_id")
    about = serializers.CharField(source="key")
    positions = serializers.ListField(child=serializers.IntegerField())

    class Meta:
        model = Notice
        fields = (
            "id", "channel", "about", "positions", "state", "attempts", "due_at", "last_error", "created_at", "finished_at"
        )  # fmt: skip
        read_only_fields = fields


class NoticePage(serializers.Serializer[Any]):
    items = NoticeShape(many=True)
    next = serializers.CharField(allow_null=True)


class NoticeDetailShape(NoticeShape):
    log = serializers.SerializerMethodField()

    class Meta:
        model = Notice
        fields = (*NoticeShape.Meta.fields, "log")
        read_only_fields = fields

    @extend_schema_field(AttemptShape(many=True))
    def get_log(self, notice: Notice) -> Any:
        return AttemptShape(notice.log.order_by("-at", "-pk")[:100], many=True).data


class Channels(View):
    """Channels in sight, and making one."""

    @extend_schema(operation_id="channels_list", parameters=PAGING, responses={200: ChannelPage, **ERRORS})
    def get(self, request: Request) -> Response:
        only(request, "limit", "cursor")
        items, following = page(request, services.channels(viewer(request)), Order(("-created_at", "-id")))
        return Response({"items": ChannelShape(items, many=True).data, "next": following})

    @extend_schema(
        operation_id="channels_create",
        request=ChannelRequest,
        responses={201: ChannelMade, **WRITE_ERRORS},
        description="Takes signing in: a channel outlives the token that made it. A webhook's secret is in this answer and "
        "nowhere else, ever.",
    )
    def post(self, request: Request) -> Response:
        data = valid(ChannelRequest, request)
        team = None
        if (wanted := data.pop("team_id", None)) is not None:
            rows = (
                Team.objects.all()
                if viewer(request).may("administer")
                else Team.objects.filter(members=account(request))
            )
            team = rows.filter(pk=wanted).first()
            if team is None:
                raise Http404
        made, text = services.create_channel(account=account(request), viewer=viewer(request), team=team, **data)
        return _with_secret(made, text, 201)


class ChangeChannel(View):
    """Switches a channel on or off, or changes what it tells and when."""

    @extend_schema(operation_id="channels_change", request=ChannelChange, responses={200: ChannelShape, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        data = valid(ChannelChange, request)
        row = _channel(request, pk)
        row = services.change_channel(account=account(request), viewer=viewer(request), channel=row, **data)
        return Response(ChannelShape(row).data)


class RotateChannel(View):
    """A webhook's new secret, in use from now on; it is in this answer and nowhere else."""

    @extend_schema(operation_id="channels_rotate", request=None, responses={200: ChannelMade, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        row = _channel(request, pk)
        text = services.rotate_secret(account=account(request), viewer=viewer(request), channel=row)
        return _with_secret(row, text, 200)


class RemoveChannel(View):
    """Ends a channel and forgets its address and secret; what it sent stays to be seen."""

    @extend_schema(operation_id="channels_remove", request=None, responses={200: ChannelShape, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        row = _channel(request, pk)
        services.remove_channel(account=account(request), viewer=viewer(request), channel=row)
        row.refresh_from_db()
        return Response(ChannelShape(row).data)


class TryChannel(View):
    """Puts a test notice in line."""

    @extend_schema(operation_id="channels_try", request=None, responses={202: NoticeShape, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        row = _channel(request, pk)
        notice = services.try_channel(account=account(request), viewer=viewer(request), channel=row)
        return Response(NoticeShape(notice).data, status=202, headers={"Location": f"/hitl/notices/{notice.pk}"})


class Notices(View):
    """What was owed to the channels in sight, the newest first."""

    @extend_schema(
        operation_id="notices_list",
        parameters=[
            *PAGING,
            OpenApiParameter("state", {"type": "string", "enum": list(NoticeState.values)}),
        ],
        responses={200: NoticePage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        only(request, "state", "limit", "cursor")
        rows = services.notices(viewer(request))
        if (state := given(request, "state", NoticeState.values)) is not None:
            rows = rows.filter(state=state)
        items, following = page(request, rows, Order(("-created_at", "-id")))
        return Response({"items": NoticeShape(items, many=True).data, "next": following})


class NoticeDetail(View):
    """One notice with its latest attempts."""

    @extend_schema(operation_id="notices_detail", responses={200: NoticeDetailShape, **ERRORS})
    def get(self, request: Request, pk: Any) -> Response:
        return Response(NoticeDetailShape(_notice(request, pk)).data)


class RedeliverNotice(View):
    """Puts a notice that ended back in line, under the same id."""

    @extend_schema(operation_id="notices_redeliver", request=None, responses={202: NoticeShape, **WRITE_ERRORS})
    def post(self, request: Request, pk: Any) -> Response:
        notice = services.redeliver(account=account(request), viewer=viewer(request), notice=_notice(request, pk))
        return Response(NoticeShape(notice).data, status=202, headers={"Location": f"/hitl/notices/{notice.pk}"})


def _channel(request: Request, pk: Any) -> NoticeChannel:
    found = services.channels(viewer(request)).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _notice(request: Request, pk: Any) -> Notice:
    found = services.notices(viewer(request)).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _with_secret(row: NoticeChannel, text: str, status: int) -> Response:
    return Response(
        {**ChannelShape(row).data, "secret": text or None}, status=status, headers={"Cache-Control": "no-store"}
    )
