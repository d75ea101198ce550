"""The tables of ``immune``, one subject a file. Constraints live here; every write lives in a service."""

from immune.models.advisories import Advisory, AdvisoryName, AffectedPackage, AliasGroup
from immune.models.aftermaths import Aftermath
from immune.models.apvs import APV, APVNumber
from immune.models.balance import Balance
from immune.models.events import Delivery, Event
from immune.models.freezes import Freeze
from immune.models.jobs import Job, JobPiece
from immune.models.people import Account, ApiToken, Role, Team
from immune.models.questions import Question, QuestionKind
from immune.models.remedies import ForgeJob, LocalNote, LocalPullRequest, Remedy
from immune.models.reports import ReportedName, ReportStream, Sighting
from immune.models.repositories import DependencyRow, Repository, Scan
from immune.models.signals import EpssRow, KevRow, SignalFeed
from immune.models.suppressions import Suppression
from immune.models.vex import VexStatement
from immune.models.webhooks import WebhookDelivery
from immune.models.work import Lease, Turn

__all__ = [
    "APV",
    "APVNumber",
    "Account",
    "Advisory",
    "AdvisoryName",
    "AffectedPackage",
    "Aftermath",
    "AliasGroup",
    "ApiToken",
    "Balance",
    "Delivery",
    "DependencyRow",
    "EpssRow",
    "Event",
    "ForgeJob",
    "Freeze",
    "Job",
    "JobPiece",
    "KevRow",
    "Lease",
    "LocalNote",
    "LocalPullRequest",
    "Question",
    "QuestionKind",
    "Remedy",
    "ReportStream",
    "ReportedName",
    "Repository",
    "Role",
    "Scan",
    "Sighting",
    "SignalFeed",
    "Suppression",
    "Team",
    "Turn",
    "VexStatement",
    "WebhookDelivery",
]
