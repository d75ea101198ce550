"""Reviews and the decisions on them: parse, authorise, call one service, answer."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from immune import questions
from immune.events.actors import Actor
from immune.models import APV
from reviews import selectors, services
from reviews.api import listing, rows, shapes
from reviews.api.access import account, viewer
from reviews.api.base import ERRORS, PAGING, WRITE_ERRORS, View, named, only, text_parameter, valid
from reviews.api.pages import Order, page
from reviews.decisions import Asked, Suppression
from reviews.live.figures import shown_balance
from reviews.models import Decision, Review


class Reviews(View):
    """The APVs in sight, one item each, with the state of the latest review round about it."""

    @extend_schema(
        operation_id="reviews_list",
        parameters=[
            *PAGING,
            *(
                OpenApiParameter(name, str, enum=choices) if choices else text_parameter(name)
                for name, (_, choices) in listing.FILTERS.items()
            ),
            text_parameter("assignee", "account name of who holds a claim on it, or `me`"),
            OpenApiParameter("overdue", bool, description="whether it is past due and not settled"),
            OpenApiParameter("questioned", bool, description="whether a question to people about it is open"),
            text_parameter("search", "part of a code, CVE, advisory or package"),
            OpenApiParameter("ordering", str, enum=list(listing.ORDERS)),
        ],
        responses={200: shapes.ReviewPage, **ERRORS},
    )
    def get(self, request: Request) -> HttpResponse:
        return rows.answer(*listing.page(request))


class Stats(View):
    """Figures of the queue in sight."""

    @extend_schema(operation_id="reviews_stats", responses={200: shapes.StatsShape, **ERRORS})
    def get(self, request: Request) -> Response:
        found = selectors.stats(viewer(request))
        return Response({**found, "balance": shown_balance(viewer(request))})


class ReviewDetail(View):
    """One APV with the latest review round about it; the code of a merged one leads to its elder."""

    @extend_schema(operation_id="reviews_detail", responses={200: shapes.DetailAnswer, **ERRORS})
    def get(self, request: Request, apv_code: str) -> Response:
        apv = _apv(request, apv_code)
        apv.review = selectors.latest_review(viewer(request), apv)  # type: ignore[attr-defined]
        apv.sources = selectors.sources_of(apv)  # type: ignore[attr-defined]
        apv.signals = selectors.signals_shown(apv)  # type: ignore[attr-defined]
        apv.asked = questions.questions_about(apv)  # type: ignore[attr-defined]
        headers = {}
        if apv.review is not None:  # type: ignore[attr-defined]
            headers["ETag"] = f'"{apv.review.version}"'  # type: ignore[attr-defined]
        return Response(shapes.DetailAnswer(apv).data, headers=headers)


def _apv(request: Request, code: str) -> APV:
    apv = selectors.apv_by_code(viewer(request), named(code))
    if apv is None:
        raise Http404
    return apv


def _round(request: Request, code: str) -> tuple[APV, Review]:
    found = selectors.round_about(viewer(request), named(code))
    if found is None:
        raise Http404
    return found


class Claim(View):
    """Takes the open round for oneself for half an hour."""

    @extend_schema(operation_id="reviews_claim", request=None, responses={200: shapes.ReviewDetail, **WRITE_ERRORS})
    def post(self, request: Request, apv_code: str) -> Response:
        _, review = _round(request, apv_code)
        services.claim_review(account=account(request), viewer=viewer(request), review=review)
        return _shown(request, review)


class Release(View):
    """Gives a claimed round back."""

    @extend_schema(operation_id="reviews_release", request=None, responses={200: shapes.ReviewDetail, **WRITE_ERRORS})
    def post(self, request: Request, apv_code: str) -> Response:
        _, review = _round(request, apv_code)
        services.release_review(account=account(request), viewer=viewer(request), review=review)
        return _shown(request, review)


class Comments(View):
    """Says something without deciding."""

    @extend_schema(
        operation_id="reviews_comment",
        request=shapes.CommentRequest,
        responses={201: shapes.ReviewDetail, **WRITE_ERRORS},
    )
    def post(self, request: Request, apv_code: str) -> Response:
        _, review = _round(request, apv_code)
        data = valid(shapes.CommentRequest, request)
        services.comment_review(account=account(request), viewer=viewer(request), review=review, text=data["text"])
        return _shown(request, review, status=201)


def _shown(request: Request, review: Review, status: int = 200) -> Response:
    found = selectors.review_by_id(viewer(request), review.pk)
    if found is None:
        raise Http404
    return Response(shapes.ReviewDetail(found).data, status=status, headers={"ETag": f'"{found.version}"'})


class SettleQuestion(View):
    """Says that a person has looked at what was asked about an APV."""

    @extend_schema(
        operation_id="reviews_settle_question",
        request=None,
        responses={200: shapes.QuestionShape, **WRITE_ERRORS},
    )
    def post(self, request: Request, apv_code: str, pk: int) -> Response:
        question = _apv(request, apv_code).questions.filter(pk=pk).first()
        if question is None:
            raise Http404
        person = account(request)
        settled = questions.settle(actor=Actor.of(person), viewer=viewer(request), question=question, account=person)
        return Response(shapes.QuestionShape(settled).data)


class Decisions(View):
    """Decisions in sight, and giving one."""

    @extend_schema(operation_id="decisions_list", parameters=PAGING, responses={200: shapes.DecisionPage, **ERRORS})
    def get(self, request: Request) -> Response:
        only(request, "limit", "cursor")
        found = selectors.decisions(viewer(request)).prefetch_related("review__items__apv")
        items, following = page(request, found, Order(("-created_at", "-id")))
        return Response({"items": shapes.DecisionShape(items, many=True).data, "next": following})

    @extend_schema(
        operation_id="decisions_create",
        request=shapes.DecisionRequest,
        parameters=[
            OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description="the ETag of the review seen"),
            OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, description="up to 200 characters"),
        ],
        responses={201: shapes.DecisionShape, **WRITE_ERRORS},
    )
    def post(self, request: Request) -> Response:
        data = valid(shapes.DecisionRequest, request)
        apv, review = _round(request, data["apv_code"])
        decision = services.decide(
            account=account(request),
            viewer=viewer(request),
            review=review,
            asked=_asked(data),
            through=apv,
            expected_version=_if_match(request),
            idempotency_key=idempotency_key(request),
        )
        return Response(
            shapes.DecisionShape(decision).data,
            status=201,
            headers={"Location": f"/hitl/decisions/{decision.pk}"},
        )


def _asked(data: dict[str, Any]) -> Asked:
    return Asked(
        choice=data["decision"],
        justification=data["justification"],
        seen_head=data["head_commit"],
        seen_patch=data["patch_digest"],
        comments=data["comments"],
        confidence_override=data["confidence_override"],
        modifications=dict(data.get("modifications") or {}),
        suppress=suppression_of(data.get("suppress")),
    )


def suppression_of(asked: dict[str, Any] | None) -> Suppression | None:
    """A checked SuppressionRequest as the services take it."""
    if not asked:
        return None
    return Suppression(asked["reason"], asked["expires_at"], asked.get("ground", ""), tuple(asked.get("apv_codes", ())))


def _if_match(request: Request) -> int | None:
    text = request.headers.get("If-Match")
    if text is None or text.strip() == "*":
        return None
    bare = text.strip().removeprefix("W/").strip('"')
    if not bare.isascii() or not bare.isdigit() or len(bare) > 9:
        raise ParseError("If-Match is not an ETag of a review.")
    return int(bare)


def idempotency_key(request: Request, longest: int = 200) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > longest or "\x00" in key:
        raise ParseError(f"Idempotency-Key holds at most {longest} characters.")
    return key


class DecisionDetail(View):
    """One decision with what became of it at the forge."""

    @extend_schema(operation_id="decisions_detail", responses={200: shapes.DecisionShape, **ERRORS})
    def get(self, request: Request, pk: Any) -> Response:
        return Response(shapes.DecisionShape(_decision(request, pk)).data)


def _decision(request: Request, pk: Any) -> Decision:
    found = selectors.decisions(viewer(request)).prefetch_related("review__items__apv").filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


class Withdraw(View):
    """Takes a decision back while its forge job has not begun; a new round opens."""

    @extend_schema(
        operation_id="decisions_withdraw", request=None, responses={200: shapes.DecisionShape, **WRITE_ERRORS}
    )
    def post(self, request: Request, pk: Any) -> Response:
        decision = _decision(request, pk)
        services.withdraw_decision(account=account(request), viewer=viewer(request), decision=decision)
        return Response(shapes.DecisionShape(_decision(request, pk)).data)


class History(View):
    """The decisions that hold for one APV, through whichever code of its remedy they were given."""

    @extend_schema(operation_id="decisions_history", parameters=PAGING, responses={200: shapes.DecisionPage, **ERRORS})
    def get(self, request: Request, apv_code: str) -> Response:
        only(request, "limit", "cursor")
        found = selectors.decision_history(viewer(request), _apv(request, apv_code))
        items, following = page(request, found.prefetch_related("review__items__apv"), Order(("-created_at", "-id")))
        return Response({"items": shapes.DecisionShape(items, many=True).data, "next": following})
