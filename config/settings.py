"""Django settings, all of them from ``config.env``. The profile is chosen by which servers are named, never by DEBUG."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from config import env, logging
from immune import duties, queues
from immune.duties import Duty
from reviews.console import look

BASE_DIR = Path(__file__).resolve().parent.parent
ENV = env.read(BASE_DIR)

APP_NAME: str = ENV["APP_NAME"]
APP_VERSION: str = ENV["APP_VERSION"]
DEBUG: bool = ENV["DEBUG"]
HOST: str = ENV["HOST"]
PORT: int = ENV["PORT"]
WORK_DIR = (BASE_DIR / ENV["WORK_DIR"]).resolve()
try:
    WORK_DIR.mkdir(parents=True, exist_ok=True)
except OSError as error:
    raise ImproperlyConfigured(
        f"WORK_DIR: {WORK_DIR} cannot be made: {error.strerror}. {env.VARIABLES['WORK_DIR'].hint}"
    ) from error
EMBEDDED = not ENV["DATABASE_URL"] or ENV["DATABASE_URL"].startswith("sqlite")


def _kept_secret(name: str) -> str:
    """A secret made on first start and kept beside the embedded database, readable by its owner only."""
    path = WORK_DIR / f"{name.lower()}.secret"
    try:
        with open(path, "x", encoding="ascii", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text(encoding="ascii")


def _secret(name: str) -> str:
    if ENV[name]:
        return str(ENV[name])
    if EMBEDDED:
        return _kept_secret(name)
    raise ImproperlyConfigured(f"{name} must be set when DATABASE_URL names a server. {env.VARIABLES[name].hint}")


SECRET_KEY = _secret("SECRET_KEY")
CHECKPOINT_KEY = _secret("CHECKPOINT_KEY")
CHECKPOINT_DIR = Path(ENV["CHECKPOINT_DIR"]) if ENV["CHECKPOINT_DIR"] else WORK_DIR / "checkpoints"

ALLOWED_HOSTS = ENV["ALLOWED_HOSTS"]
CSRF_TRUSTED_ORIGINS = ENV["CSRF_TRUSTED_ORIGINS"]
CORS_ALLOWED_ORIGINS = ENV["CORS_ORIGINS"]
CORS_URLS_REGEX = r"^/hitl/.*$"
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "idempotency-key", "if-match"]
CORS_EXPOSE_HEADERS = ["ETag", "Location", "Retry-After"]

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_prometheus",
    "corsheaders",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "channels",
    "immune",
    "wargaming",
    "reviews",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "reviews.metrics.ApiMetrics",
    "django.middleware.security.SecurityMiddleware",
    "config.security.ContentPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _database() -> dict[str, Any]:
    if EMBEDDED:
        file = WORK_DIR / "immune.sqlite3"
        if not ENV["DATABASE_URL"]:
            file.touch(0o600)  # SQLite would make it, and the files beside it, readable by every user of the machine
        found: dict[str, Any] = dict(dj_database_url.parse(ENV["DATABASE_URL"] or f"sqlite:///{file}"))
        # IMMEDIATE: a writer waits for its turn at BEGIN instead of failing in the middle; one writer at a time also makes
        # the event positions follow commit order.
        found["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=30000;",
        }
        return found
    found = dict(dj_database_url.parse(ENV["DATABASE_URL"]))
    found.setdefault("OPTIONS", {})
    # A connection the server has forgotten, as after its restart, is replaced when it is taken from the pool and not found out by a query.
    found["CONN_HEALTH_CHECKS"] = True
    found["OPTIONS"]["pool"] = {"min_size": 0, "max_size": ENV["DATABASE_POOL_SIZE"], "timeout": 10}
    return found


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "immune.Account"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

LANGUAGE_CODE = ENV["LANGUAGE_CODE"]
LANGUAGES = [("en", _("English")), ("pt-br", _("Brazilian Portuguese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

UNFOLD = look.unfold(APP_NAME)

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATIC_ROOT.mkdir(exist_ok=True)  # WhiteNoise warns where collectstatic never ran
# Served straight from the packages, so that the embedded profile needs no collectstatic.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

LOG_LEVEL = ENV["LOG_LEVEL"]
LOGGING_CONFIG = "logging.config.dictConfig"
LOGGING = logging.configure(LOG_LEVEL, ENV["LOG_FORMAT"])

PROMETHEUS_ENABLED: bool = ENV["PROMETHEUS_ENABLED"]
PROMETHEUS_EXPORT_MIGRATIONS = False
WEBSOCKET_ENABLED: bool = ENV["WEBSOCKET_ENABLED"]
WARGAMING_ENABLED: bool = ENV["WARGAMING_ENABLED"]

REDIS_URL = ENV["REDIS_URL"]
REDIS_PREFIX = ENV["REDIS_PREFIX"]
if REDIS_URL:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            # redis-py 8 gives sockets a five second time-out, shorter than an idle subscription lives.
            "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "prefix": REDIS_PREFIX},
        }
    }
    CACHES: dict[str, Any] = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": REDIS_PREFIX,
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

RABBITMQ_URL = ENV["RABBITMQ_URL"]
CELERY_BROKER_URL = RABBITMQ_URL or "memory://localhost/"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = queues.DEFAULT
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
if RABBITMQ_URL:
    CELERY_TASK_QUEUES = queues.work_queues()
    # A queue that is not among them is a mistake, not one to be made up on the spot.
    CELERY_TASK_CREATE_MISSING_QUEUES = False
    # Workers declare 28 queues for delayed tasks, which we never send (due times stand in the tables): the cheap type will do.
    CELERY_BROKER_NATIVE_DELAYED_DELIVERY_QUEUE_TYPE = "classic"
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {"confirm_publish": True, "confirm_timeout": 5}
else:
    # The memory transport otherwise looks for messages once a second.
    CELERY_BROKER_TRANSPORT_OPTIONS = {"polling_interval": 0.02}

SWEEP_SECONDS = ENV["SWEEP_SECONDS"]
CHECKPOINT_SECONDS = ENV["CHECKPOINT_SECONDS"]
HOUR, DAY = 3600, 86_400
# What is done again and again; beat and the embedded process read the same table.
DUTIES = (
    Duty("sweep", SWEEP_SECONDS, "immune.tasks.sweep", "events"),
    Duty("balance", ENV["BALANCE_SECONDS"], "immune.homeostasis.balance.look", "events"),
    Duty("checkpoint", CHECKPOINT_SECONDS, "immune.events.audit.write_checkpoint", "events"),
    Duty("return_suppressed", 60, "immune.suppression.services.return_expired", "events"),
    Duty("return_claims", 60, "reviews.services.return_expired_claims", "events"),
    Duty("close_stale", HOUR, "reviews.ageing.close_stale", "events"),
    Duty("reconsider", 600, "reviews.automatic.reconsider", "events"),
    Duty("tidy_layers", 600, "wargaming.services.tidy_layers", "wargame"),
    Duty("remove_old_evidence", DAY, "reviews.retention.remove_old_evidence", "events"),
    Duty("expire_results", DAY, "immune.jobs.services.expire_results", "events"),
    Duty("sync_advisories", DAY, "immune.advisories.daily.sync_configured", "ingest"),
    Duty("sync_signals", DAY, "immune.advisories.daily.sync_signals_daily", "ingest"),
    Duty("forget_webhooks", DAY, "immune.hints.forget", "ingest", at_once=False),
    Duty("reconcile", ENV["RECONCILE_SECONDS"], "immune.reconciling.reconcile_all", "forge"),
    Duty("watch_merges", ENV["RECONCILE_SECONDS"], "immune.aftermath.watch_all", "forge"),
    Duty("notices", HOUR, "reviews.notices.sending.gather", "notify", at_once=False),
    Duty("forget_notices", DAY, "reviews.notices.sending.forget", "notify", at_once=False),
    Duty("rescan", DAY, "immune.services.request_daily_scans", "remedy", at_once=False),
)
CELERY_BEAT_SCHEDULE = duties.schedule(DUTIES)
PRIORITY_DUE_DAYS: list[int] = ENV["PRIORITY_DUE_DAYS"]
OPEN_PULL_REQUESTS_PER_REPOSITORY: int = ENV["OPEN_PULL_REQUESTS_PER_REPOSITORY"]
OPEN_PULL_REQUESTS: int = ENV["OPEN_PULL_REQUESTS"]
MERGES_PER_HOUR_PER_REPOSITORY: int = ENV["MERGES_PER_HOUR_PER_REPOSITORY"]
MERGES_PER_HOUR: int = ENV["MERGES_PER_HOUR"]
LOOP_DAYS: int = ENV["LOOP_DAYS"]
LOOP_CLOSED: int = ENV["LOOP_CLOSED"]
STALE_PULL_REQUEST_DAYS: int = ENV["STALE_PULL_REQUEST_DAYS"]
SITE_URL: str = ENV["SITE_URL"]
EMAIL_HOST: str = ENV["EMAIL_HOST"]
EMAIL_PORT: int = ENV["EMAIL_PORT"]
EMAIL_USE_TLS = ENV["EMAIL_SECURITY"] == "starttls"
EMAIL_USE_SSL = ENV["EMAIL_SECURITY"] == "tls"
EMAIL_HOST_USER: str = ENV["EMAIL_HOST_USER"]
EMAIL_HOST_PASSWORD: str = ENV["EMAIL_HOST_PASSWORD"]
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL: str = ENV["EMAIL_FROM"]
PAGERDUTY_URL: str = ENV["PAGERDUTY_URL"]
NOTICE_PRIVATE_NETWORKS: list[Any] = ENV["NOTICE_PRIVATE_NETWORKS"]
NOTICE_CA_FILE: str = ENV["NOTICE_CA_FILE"]
NOTICE_LOG_DAYS: int = ENV["NOTICE_LOG_DAYS"]
VEX_SUPPRESSION_DAYS: int = ENV["VEX_SUPPRESSION_DAYS"]
SANDBOX_DRIVER = ENV["SANDBOX_DRIVER"]
GITHUB_ACTIONS_WARGAMES = ENV["GITHUB_ACTIONS_WARGAMES"]
GITHUB_ACTIONS_WAIT_MINUTES = ENV["GITHUB_ACTIONS_WAIT_MINUTES"]
WARGAME_BUILDS = ENV["WARGAME_BUILDS"]
WARGAME_CONCURRENCY = ENV["WARGAME_CONCURRENCY"]
WARGAME_MACHINE_CONCURRENCY: int = ENV["WARGAME_MACHINE_CONCURRENCY"]
EVIDENCE_DAYS: int = ENV["EVIDENCE_DAYS"]
LAYER_CACHE_MB = ENV["LAYER_CACHE_MB"]

REMEDY_PIN_CHECKS: bool = ENV["REMEDY_PIN_CHECKS"]
PYPI_INDEX_URL, PYPI_INDEX_CREDENTIALS = ENV["PYPI_INDEX_URL"], ENV["PYPI_INDEX_CREDENTIALS"]
NPM_REGISTRY_URL, NPM_REGISTRY_TOKEN = ENV["NPM_REGISTRY_URL"], ENV["NPM_REGISTRY_TOKEN"]
for _registry, _credentials in (
    ("PYPI_INDEX_URL", "PYPI_INDEX_CREDENTIALS"),
    ("NPM_REGISTRY_URL", "NPM_REGISTRY_TOKEN"),
):
    if ENV[_credentials] and not env.may_carry_secrets(ENV[_registry]):
        raise ImproperlyConfigured(f"{_credentials} needs {_registry} to be an https address (or one of this machine).")
FORGE = ENV["FORGE"]
GITHUB_TOKEN = ENV["GITHUB_TOKEN"]
GITHUB_APP_ID = ENV["GITHUB_APP_ID"]
GITHUB_APP_PRIVATE_KEY = ENV["GITHUB_APP_PRIVATE_KEY"]
GITHUB_REPO_OWNER = ENV["GITHUB_REPO_OWNER"]
GITHUB_REPO_NAME = ENV["GITHUB_REPO_NAME"]
GITHUB_API_URL = ENV["GITHUB_API_URL"]
GITHUB_CA_FILE: str = ENV["GITHUB_CA_FILE"]
GITHUB_WRITE_PAUSE_MS: int = ENV["GITHUB_WRITE_PAUSE_MS"]
GITHUB_REVIEWER_TOKEN: str = ENV["GITHUB_REVIEWER_TOKEN"]
GITHUB_LEADS: list[str] = ENV["GITHUB_LEADS"]
AFTERMATH_HOURS: int = ENV["AFTERMATH_HOURS"]
GITHUB_WEBHOOK_SECRETS = ENV["GITHUB_WEBHOOK_SECRETS"]
GIT_HOSTS = ENV["GIT_HOSTS"]
GIT_ALLOW_PRIVATE_ADDRESSES = ENV["GIT_ALLOW_PRIVATE_ADDRESSES"]
GIT_TIMEOUT_SECONDS = ENV["GIT_TIMEOUT_SECONDS"]
GIT_MAX_BYTES = ENV["GIT_MAX_MB"] * 1024 * 1024
OSV_BULK_URL = ENV["OSV_BULK_URL"]
OSV_ECOSYSTEMS = ENV["OSV_ECOSYSTEMS"]
EPSS_URL: str = ENV["EPSS_URL"]
KEV_URL: str = ENV["KEV_URL"]
REPORT_MAX_BYTES: int = ENV["REPORT_MAX_BYTES"]
JOB_RESULT_DAYS: int = ENV["JOB_RESULT_DAYS"]

API_RATE_PER_MINUTE: int = ENV["API_RATE_PER_MINUTE"]
API_ANONYMOUS_RATE_PER_MINUTE: int = ENV["API_ANONYMOUS_RATE_PER_MINUTE"]
LOGIN_FAILURES: int = ENV["LOGIN_FAILURES"]
PROXIES_BEFORE: int = ENV["PROXIES_BEFORE"]

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "reviews.api.problems.handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": APP_NAME,
    "DESCRIPTION": "Reviews of proved patches, and the decisions on them.",
    "VERSION": APP_VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/hitl",
    "COMPONENT_SPLIT_REQUEST": False,  # what goes in and what comes out have shapes of their own
    "ENUM_NAME_OVERRIDES": {
        "ApvStatus": "immune.models.apvs.APVStatus",
        "Verdict": "immune.models.apvs.Verdict",
        "HealthStatus": ["ok", "degraded", "down"],
        "Severity": "immune.models.advisories.Severity",
        "Priority": "immune.models.apvs.Priority",
        "ForgeKind": "immune.models.repositories.ForgeKind",
        "DecisionChoice": "reviews.models.Choice",
        "BulkChoice": ["approve", "reject", "escalate"],
        "CampaignItemState": "reviews.models.CampaignItemState",
        "BulkOutcomeKind": ["decided", "noted", "refused"],
        "Recommendation": "reviews.models.Recommendation",
        "ReviewState": "reviews.models.ReviewState",
        "SwitchState": "reviews.models.SwitchState",
        "OrderKind": "wargaming.models.OrderKind",
        "WargameState": "wargaming.models.WargameState",
        "Trust": "wargaming.models.Trust",
        "AftermathState": "immune.models.aftermaths.AftermathState",
        "MergeMethod": "immune.models.repositories.MergeMethod",
        "ScanState": "immune.models.repositories.ScanState",
        "Confirmation": "immune.models.reports.Confirmation",
        "SuppressionScope": "immune.models.suppressions.SuppressionScope",
        "Ground": "immune.models.suppressions.Ground",
        "NoticeState": "reviews.notices.models.NoticeState",
        "ChannelKind": "reviews.notices.models.ChannelKind",
        "NoticePace": "reviews.notices.models.Pace",
        "NoticeTopic": ["threats", "reviews", "decisions", "refusals", "alarms"],
        "JobKind": "immune.models.jobs.JobKind",
        "VexKind": ["csaf", "cyclonedx", "openvex"],
        "ScanOutcome": ["clean", "findings", "unreadable"],
        "VersionSign": ["<", "=", ">"],
        "VersionAnswer": ["<", "=", ">", "?"],
        "Scope": ["administer", "decide", "immunize", "lead", "operate", "read"],
    },
}
