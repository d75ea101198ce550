"""How the console looks: Unfold's settings. No models are imported here, since settings read this before apps are ready."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

PERMISSIONS = "reviews.console.navigation"


def _item(title: Any, icon: str, address: str, right: str = "read", **more: Any) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{address}"),
        "permission": f"{PERMISSIONS}.may_{right}",
        **more,
    }


def unfold(name: str) -> dict[str, Any]:
    """The UNFOLD setting of a site called ``name``."""
    return {
        "SITE_TITLE": name,
        "SITE_HEADER": name,
        "SITE_SUBHEADER": _("proof before merge"),
        "SITE_SYMBOL": "immunology",
        "SITE_URL": None,
        "SITE_FAVICONS": [
            {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("console/favicon.svg")}
        ],
        "SHOW_HISTORY": False,
        "SHOW_VIEW_ON_SITE": False,
        "SHOW_LANGUAGES": True,
        "BORDER_RADIUS": "6px",
        "STYLES": [lambda request: static("console/console.css")],
        "DASHBOARD_CALLBACK": "reviews.console.dashboard.figures",
        "COLORS": {
            "primary": {
                "50": "oklch(97.5% .013 200)",
                "100": "oklch(94% .03 200)",
                "200": "oklch(88% .055 200)",
                "300": "oklch(80% .085 200)",
                "400": "oklch(72% .11 202)",
                "500": "oklch(60% .11 205)",
                "600": "oklch(49% .095 208)",
                "700": "oklch(42% .08 210)",
                "800": "oklch(36% .066 212)",
                "900": "oklch(31% .055 214)",
                "950": "oklch(22% .045 216)",
            }
        },
        "SIDEBAR": {
            "show_search": False,
            "show_all_applications": False,
            "navigation": [
                {
                    "items": [
                        _item(_("Overview"), "space_dashboard", "index"),
                        _item(
                            _("Reviews"),
                            "rate_review",
                            "reviews_review_changelist",
                            badge=f"{PERMISSIONS}.pending_reviews",
                            badge_style="solid",
                        ),
                        _item(_("Decisions"), "gavel", "reviews_decision_changelist"),
                        _item(_("Campaigns"), "flag", "reviews_campaign_changelist"),
                    ]
                },
                {
                    "title": _("Rules"),
                    "separator": True,
                    "items": [
                        _item(_("Policies"), "policy", "reviews_rule_changelist"),
                        _item(_("Reflexes"), "bolt", "reviews_reflexrule_changelist"),
                        _item(_("Freezes"), "ac_unit", "immune_freeze_changelist"),
                    ],
                },
                {
                    "title": _("Threats"),
                    "separator": True,
                    "items": [
                        _item("APVs", "coronavirus", "immune_apv_changelist"),
                        _item(_("Suppressions"), "notifications_paused", "immune_suppression_changelist"),
                        _item(_("Repositories"), "folder_data", "immune_repository_changelist"),
                        _item(_("Advisories"), "campaign", "immune_advisory_changelist"),
                    ],
                },
                {
                    "title": _("Work"),
                    "separator": True,
                    "items": [
                        _item(_("Remedies"), "vaccines", "immune_remedy_changelist"),
                        _item(_("Wargames"), "swords", "wargaming_wargame_changelist"),
                        _item(_("After merges"), "monitor_heart", "immune_aftermath_changelist"),
                        _item(_("Scans"), "radar", "immune_scan_changelist"),
                        _item(_("Imports and exports"), "upload_file", "immune_job_changelist"),
                        _item(_("Forge jobs"), "merge", "immune_forgejob_changelist"),
                        _item(_("Events"), "history", "immune_event_changelist"),
                        _item(_("Channels"), "notifications_active", "reviews_noticechannel_changelist"),
                        _item(_("Notices"), "send", "reviews_notice_changelist"),
                        _item(_("Deliveries"), "outbox", "immune_delivery_changelist", "operate"),
                        _item(_("Dead letters"), "report", "immune_delivery_dead_letters", "operate"),
                    ],
                },
                {
                    "title": _("People"),
                    "separator": True,
                    "items": [
                        _item(_("Accounts"), "person", "immune_account_changelist", "administer"),
                        _item(_("Teams"), "groups", "immune_team_changelist", "administer"),
                        _item(_("API tokens"), "key", "immune_apitoken_changelist"),
                    ],
                },
            ],
        },
    }
