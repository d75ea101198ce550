"""Every setting the environment may give: its name, type, default and a hint. Read once by ``config.settings``.

A value comes from the environment, else from the file named by ``NAME_FILE``, else from ``.env``, else from the default here.
A value that cannot be read stops the start with the variable's name and the hint.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from dotenv import dotenv_values


@dataclass(frozen=True, slots=True)
class Variable:
    """One setting. ``cast`` raises ValueError for what it cannot take; its message completes "must be …"."""

    default: Any
    cast: Callable[[str], Any]
    hint: str
    secret: bool = False


def text(value: str) -> str:
    return value.strip()


def flag(value: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    try:
        return known[value.strip().lower()]
    except KeyError:
        raise ValueError("true or false") from None


def whole(low: int, high: int) -> Callable[[str], int]:
    def cast(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"a whole number from {low} to {high}") from None
        if not low <= number <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return number

    return cast


def digits(value: str) -> str:
    if value.strip() and not (value.strip().isascii() and value.strip().isdigit()):
        raise ValueError("empty or a whole number")
    return value.strip()


def words(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def repositories(value: str) -> list[str]:
    found = words(value)
    if any(name != "*" and not re.fullmatch(r"[\w.-]+/[\w.-]+", name) for name in found):
        raise ValueError("names such as owner/name, separated by commas, or *")
    return found


def webhook_secrets(value: str) -> list[str]:
    """One, or two while they are changed. A short one could be guessed, and an empty one would believe anybody."""
    found = words(value)
    if len(found) > 2 or any(len(secret) < 16 for secret in found):
        raise ValueError("one secret, or two while rotating, each of at least 16 characters")
    return found


def registry(value: str) -> str:
    """An address without credentials, which have a variable of their own and must not be logged with it."""
    found = urlsplit(value.strip())
    if value.strip() and (found.scheme not in ("http", "https") or not found.hostname or "@" in found.netloc):
        raise ValueError("empty or an http(s) address without credentials")
    return value.strip()


def may_carry_secrets(address: str) -> bool:
    """Whether credentials may be sent to an address: encrypted, or without leaving this machine."""
    found = urlsplit(address)
    return found.scheme == "https" or found.hostname in ("127.0.0.1", "::1", "localhost")


def one_of(*choices: str) -> Callable[[str], str]:
    def cast(value: str) -> str:
        if value.strip() not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return value.strip()

    return cast


def url(*schemes: str) -> Callable[[str], str]:
    def cast(value: str) -> str:
        if value.strip() and urlsplit(value.strip()).scheme not in schemes:
            raise ValueError("empty or an address beginning with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return value.strip()

    return cast


def origins(value: str) -> list[str]:
    found = words(value)
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
            raise ValueError("origins such as https://example.org, separated by commas")
    return found


def networks(value: str) -> list[Any]:
    try:
        return [ip_network(part) for part in words(value)]
    except ValueError:
        raise ValueError("networks such as 10.1.0.0/16, separated by commas") from None


def due_days(value: str) -> list[int]:
    try:
        days = [int(part) for part in words(value)]
    except ValueError:
        days = []
    if len(days) != 4 or days != sorted(days) or days[0] < 1:
        raise ValueError("four rising whole numbers of days, such as 2,7,30,90")
    return days


VARIABLES: dict[str, Variable] = {
    "APP_NAME": Variable("Immune", text, "The name shown in the console, the API and mails."),
    "APP_VERSION": Variable("0.1.0", text, "The version shown in the API and the health answer."),
    "DEBUG": Variable(False, flag, "Django's debug pages. Never on a server that others reach."),
    "SECRET_KEY": Variable(
        "", text, "Signs sessions. Empty: made once and kept in WORK_DIR (SQLite only).", secret=True
    ),
    "HOST": Variable("127.0.0.1", text, "The address to listen on."),
    "PORT": Variable(8003, whole(1, 65535), "The port to listen on."),
    "ALLOWED_HOSTS": Variable(
        ["localhost", "127.0.0.1", "[::1]"], words, "Host names the site answers to, separated by commas."
    ),
    "CSRF_TRUSTED_ORIGINS": Variable([], origins, "Origins behind a proxy whose forms are trusted."),
    "CORS_ORIGINS": Variable([], origins, "Origins whose pages may call the API from a browser."),
    "API_RATE_PER_MINUTE": Variable(1200, whole(0, 1_000_000), "Requests a minute one account may send. 0: no limit."),
    "API_ANONYMOUS_RATE_PER_MINUTE": Variable(
        60, whole(0, 1_000_000), "Requests a minute one address may send without signing in, wrong tokens included."
    ),
    "LOGIN_FAILURES": Variable(
        10, whole(0, 100_000), "Wrong passwords in five minutes for one name from one address. 0: no limit."
    ),
    "PROXIES_BEFORE": Variable(
        0, whole(0, 9), "Proxies of yours before the site: as many X-Forwarded-For entries are believed."
    ),
    "WORK_DIR": Variable("var", text, "Folder for the embedded database, mirrors, layers and evidence."),
    "DATABASE_URL": Variable(
        "",
        url("sqlite", "postgres", "postgresql"),
        "postgres://user:password@host:5432/name. Empty: SQLite in WORK_DIR.",
        secret=True,
    ),
    "DATABASE_POOL_SIZE": Variable(8, whole(1, 200), "Connections a process may hold to PostgreSQL."),
    "RABBITMQ_URL": Variable(
        "", url("amqp", "amqps"), "amqp://user:password@host:5672/vhost. Empty: work runs in process.", secret=True
    ),
    "REDIS_URL": Variable(
        "",
        url("redis", "rediss"),
        "redis://host:6379/0, the live doorbell. Empty: the doorbell is in process.",
        secret=True,
    ),
    "REDIS_PREFIX": Variable("immune", text, "Begins every key and channel used in Redis."),
    "LOG_LEVEL": Variable("INFO", one_of("DEBUG", "INFO", "WARNING", "ERROR"), "The least level that is logged."),
    "LOG_FORMAT": Variable("console", one_of("console", "json"), "console for people, json for machines."),
    "PROMETHEUS_ENABLED": Variable(True, flag, "Whether /metrics answers."),
    "WEBSOCKET_ENABLED": Variable(True, flag, "Whether /hitl/ws and the live page answer."),
    "WARGAMING_ENABLED": Variable(True, flag, "Whether wargames run. Off: nothing counts as proved."),
    "SANDBOX_DRIVER": Variable(
        "auto",
        one_of("auto", "bubblewrap", "docker", "podman", "limited"),
        "What runs scenarios. auto: the strongest here.",
    ),
    "GITHUB_ACTIONS_WARGAMES": Variable(
        [],
        repositories,
        "Repositories at GitHub (owner/name, or * for all) whose scenarios run as GitHub Actions there. Empty: in the sandbox here.",
    ),
    "GITHUB_ACTIONS_WAIT_MINUTES": Variable(
        120, whole(1, 1440), "Minutes until such a run that has not ended is given up. Its wargame could then not tell."
    ),
    "WARGAME_BUILDS": Variable(
        "never",
        one_of("never", "sandbox"),
        "What becomes of a Python package without a wheel. never: could not tell. sandbox: built in the sandbox.",
    ),
    "WARGAME_CONCURRENCY": Variable(2, whole(1, 64), "Wargames one process runs at the same time."),
    "WARGAME_MACHINE_CONCURRENCY": Variable(
        0,
        whole(0, 256),
        "Wargames one machine runs at the same time, over all its processes. 0: by its cores and memory.",
    ),
    "EVIDENCE_DAYS": Variable(
        365, whole(0, 100_000), "Days that evidence is kept which no decision rests on. 0: for ever."
    ),
    "LAYER_CACHE_MB": Variable(4096, whole(64, 1_000_000), "Size limit of the environment cache."),
    "REMEDY_PIN_CHECKS": Variable(
        True, flag, "Whether the index is asked if a pin's new version fits the other pins before it is proposed."
    ),
    "PYPI_INDEX_URL": Variable(
        "", registry, "The Python index that lock files are renewed from. Empty: the one uv is configured for."
    ),
    "PYPI_INDEX_CREDENTIALS": Variable(
        "", text, "user:password for that index; never shown to a resolver.", secret=True
    ),
    "NPM_REGISTRY_URL": Variable(
        "", registry, "The npm registry that lock files are renewed from. Empty: the one npm is configured for."
    ),
    "NPM_REGISTRY_TOKEN": Variable("", text, "A token for that registry; never shown to a resolver.", secret=True),
    "FORGE": Variable("local", one_of("local", "github"), "Where branches and pull requests are made by default."),
    "GITHUB_TOKEN": Variable("", text, "A token with contents and pull request permissions.", secret=True),
    "GITHUB_APP_ID": Variable("", digits, "The GitHub App's id, instead of a token."),
    "GITHUB_APP_PRIVATE_KEY": Variable("", text, "The GitHub App's private key (PEM).", secret=True),
    "GITHUB_REPO_OWNER": Variable("", text, "Owner of the repository used when a name has none."),
    "GITHUB_REPO_NAME": Variable("", text, "Repository used when none is named."),
    "GITHUB_API_URL": Variable("https://api.github.com", url("http", "https"), "The REST address (GitHub Enterprise)."),
    "GITHUB_CA_FILE": Variable(
        "", text, "The authority that signed GitHub's certificate, as a file (GitHub Enterprise)."
    ),
    "GITHUB_WRITE_PAUSE_MS": Variable(
        1000, whole(0, 60_000), "Milliseconds between two changes; GitHub asks for 1000."
    ),
    "GITHUB_REVIEWER_TOKEN": Variable(
        "", text, "A second account's token, which asks for changes on our pull requests.", secret=True
    ),
    "GITHUB_LEADS": Variable([], words, "Who gets what is escalated: logins, or team:name for a team of the owner."),
    "RECONCILE_SECONDS": Variable(
        300, whole(10, 86_400), "Seconds between two looks for what webhooks missed at GitHub."
    ),
    "AFTERMATH_HOURS": Variable(72, whole(0, 8760), "Hours for which a merge is watched. 0: not at all."),
    "GITHUB_WEBHOOK_SECRETS": Variable(
        [], webhook_secrets, "One secret, or two while rotating; opens /hooks/github.", secret=True
    ),
    "GIT_HOSTS": Variable(["github.com"], words, "Hosts that repositories given by API or console may lie on."),
    "GIT_ALLOW_PRIVATE_ADDRESSES": Variable(False, flag, "Whether those hosts may resolve to private addresses."),
    "GIT_TIMEOUT_SECONDS": Variable(120, whole(1, 3600), "The longest one git command may take."),
    "GIT_MAX_MB": Variable(1024, whole(1, 100_000), "The largest repository that is mirrored."),
    "CHECKPOINT_DIR": Variable("", text, "Where signed audit checkpoints are written. Empty: WORK_DIR/checkpoints."),
    "CHECKPOINT_KEY": Variable(
        "", text, "Signs audit checkpoints. Empty: made once and kept in WORK_DIR.", secret=True
    ),
    "CHECKPOINT_SECONDS": Variable(900, whole(10, 86_400), "Seconds between two checkpoints."),
    "SWEEP_SECONDS": Variable(10, whole(1, 3600), "Seconds between two looks for work left behind."),
    "OPEN_PULL_REQUESTS_PER_REPOSITORY": Variable(
        10, whole(0, 100_000), "Pull requests of ours open in one repository at a time. 0: no limit."
    ),
    "OPEN_PULL_REQUESTS": Variable(
        200, whole(0, 1_000_000), "Pull requests of ours open in all repositories at a time. 0: no limit."
    ),
    "MERGES_PER_HOUR_PER_REPOSITORY": Variable(
        20, whole(0, 100_000), "Approved changes merged in one repository within an hour. 0: no limit."
    ),
    "MERGES_PER_HOUR": Variable(
        200, whole(0, 1_000_000), "Approved changes merged in all repositories within an hour. 0: no limit."
    ),
    "LOOP_DAYS": Variable(30, whole(0, 3650), "Days within which a package proposed back and forth stops. 0: never."),
    "LOOP_CLOSED": Variable(
        3,
        whole(0, 1000),
        "Proposals for one package closed unmerged in those days, after which a person is asked. 0: never.",
    ),
    "STALE_PULL_REQUEST_DAYS": Variable(
        30,
        whole(0, 3650),
        "Days a pull request of ours waits for a decision before it is closed and made anew. 0: for ever.",
    ),
    "BALANCE_SECONDS": Variable(
        15, whole(5, 300), "Seconds between two looks at how the whole is doing and what may be let go."
    ),
    "SITE_URL": Variable(
        "", url("http", "https"), "The address people reach this site at; put into notices. Empty: no links."
    ),
    "EMAIL_HOST": Variable("", text, "The server that takes our mail. Empty: no mail is sent."),
    "EMAIL_PORT": Variable(587, whole(1, 65535), "Its port."),
    "EMAIL_SECURITY": Variable("starttls", one_of("starttls", "tls", "none"), "How the way to it is kept from others."),
    "EMAIL_HOST_USER": Variable("", text, "The name to sign in to it with."),
    "EMAIL_HOST_PASSWORD": Variable("", text, "The password to sign in to it with.", secret=True),
    "EMAIL_FROM": Variable("immune@localhost", text, "The address our mail comes from."),
    "PAGERDUTY_URL": Variable(
        "https://events.pagerduty.com/v2/enqueue", url("https", "http"), "Where PagerDuty takes events (Events API v2)."
    ),
    "NOTICE_PRIVATE_NETWORKS": Variable(
        [], networks, "Networks that notices may go to although they are not public, such as 10.1.0.0/16. Empty: none."
    ),
    "NOTICE_CA_FILE": Variable(
        "", text, "An authority besides the machine's that receivers' certificates may come from, as a file (PEM)."
    ),
    "NOTICE_LOG_DAYS": Variable(
        90, whole(0, 100_000), "Days that notices are kept after they ended, with every attempt. 0: for ever."
    ),
    "PRIORITY_DUE_DAYS": Variable([2, 7, 30, 90], due_days, "Days until P1, P2, P3 and P4 are due."),
    "VEX_SUPPRESSION_DAYS": Variable(
        90, whole(1, 3650), "Days a not_affected taken from a VEX document, which has no end of its own, holds."
    ),
    "LANGUAGE_CODE": Variable("en", one_of("en", "pt-br"), "Language of the console before a browser says otherwise."),
    "OSV_BULK_URL": Variable(
        "", text, "Address of the OSV bulk export with {ecosystem} in it. Empty: advisories come from files only."
    ),
    "REPORT_MAX_BYTES": Variable(
        256 * 1024 * 1024,
        whole(1024, 2**33),
        "The largest file (report, archive) that may be sent, in bytes as it is sent.",
    ),
    "JOB_RESULT_DAYS": Variable(
        30, whole(0, 100_000), "Days that the result of a scan of files, or an exported document, is kept. 0: for ever."
    ),
    "EPSS_URL": Variable(
        "",
        url("https"),
        "Address of the daily EPSS scores (https://epss.cyentia.com/epss_scores-current.csv.gz). Empty: from files only.",
    ),
    "KEV_URL": Variable(
        "",
        url("https"),
        "Address of CISA's catalogue of known exploited vulnerabilities, as JSON. Empty: from files only.",
    ),
    "OSV_ECOSYSTEMS": Variable(["PyPI"], words, "Ecosystems synchronised daily from OSV_BULK_URL."),
}


def read(root: Path, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Returns every variable's value. Raises ImproperlyConfigured naming the variable that is wrong, with its hint."""
    found = dict(os.environ if environment is None else environment)
    dotenv = root / ".env"
    if dotenv.is_file() and found.get("IMMUNE_DOTENV", "1") != "0":
        # What the environment says, by value or by file, stands before what the file says.
        found = {
            **{
                name: value
                for name, value in dotenv_values(dotenv, interpolate=False).items()
                if value is not None and f"{name}_FILE" not in found and name.removesuffix("_FILE") not in found
            },
            **found,
        }
    return {name: _value(name, variable, found) for name, variable in VARIABLES.items()}


def _value(name: str, variable: Variable, found: dict[str, str]) -> Any:
    raw = found.get(name)
    if raw is None and variable.secret and (file := found.get(f"{name}_FILE")):
        try:
            raw = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"{name}_FILE: {file} could not be read ({error}). {variable.hint}") from error
    if raw is None or (raw.strip() == "" and variable.default != ""):
        return variable.default
    try:
        return variable.cast(raw)
    except ValueError as error:
        shown = "the value given" if variable.secret else repr(raw)
        raise ImproperlyConfigured(f"{name}: {shown} is not usable; it must be {error}. {variable.hint}") from error
