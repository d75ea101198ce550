"""Registering repositories and asking for them to be read. What a reading does stands in ``scans``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError
from django.db.models import Q
from django.utils import timezone

from immune import git, leases
from immune.events.actors import SYSTEM, Actor
from immune.events.log import act
from immune.forges.urls import CheckedUrl, UrlError, UrlPolicy, check_repository_url
from immune.git import Mirror
from immune.git_process import GitError, run
from immune.models import Account, Repository, Scan, Team
from immune.models.repositories import ForgeKind, MergeMethod, ScanState
from immune.people.selectors import Viewer, visible_repositories
from immune.people.services import NotPermitted

DAILY = "daily"
MOST_LABELS = 50
LONGEST_LABEL = 100


class Refused(Exception):
    """Something asked of ``immune`` that will not be done. ``reason`` is machine-readable, the text is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def register_local(
    *, actor: Actor, path: Path, name: str | None = None, write_back: bool = False, is_demo: bool = False
) -> Repository:
    """Registers a repository on this machine, or returns the one registered before. Command line only.

    Raises Refused (not_a_repository) when there is no git repository at ``path``.
    """
    place = path.resolve()
    if not place.is_dir():
        raise Refused("not_a_repository", f"{path} is not a folder")
    try:
        # Also from a subfolder the whole repository is meant.
        top = run(["rev-parse", "--absolute-git-dir"], git_dir=_git_dir(place)).out.decode().strip()
    except GitError as error:
        raise Refused("not_a_repository", f"{path} is not a git repository: {error.message}") from error
    place = Path(top).parent if Path(top).name == ".git" else Path(top)
    return _register(
        actor=actor,
        location=os.fspath(place),
        name=name or place.name.removesuffix(".git"),
        forge=ForgeKind.LOCAL,
        write_back=write_back,
        is_demo=is_demo,
    )


def _git_dir(place: Path) -> Path:
    for folder in (place, *place.parents):
        if (folder / ".git").exists():
            return folder / ".git"
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
            return folder
    raise Refused("not_a_repository", f"{place} is not a git repository")


def may_register(viewer: Viewer) -> bool:
    """Whether a person may register repositories: those who see all of them.

    Anybody else would learn from the answer what other teams have here; and what is registered is read with the site's own access,
    of which its teams see the result (docs/decisions/0150).
    """
    return viewer.sees_all and viewer.may("read") and viewer.may("immunize")


def register_remote(*, actor: Actor, url: str, name: str | None = None, teams: Iterable[Team] = ()) -> Repository:
    """Registers a repository by its https or ssh address, or returns the one registered before.

    Raises Refused with the reason of the address check (host not configured, private address, credentials in it …).
    """
    checked = checked_url(_whole_address(url))
    path = checked.path.strip("/").removesuffix(".git")
    forge = ForgeKind.GITHUB if settings.FORGE == "github" else ForgeKind.LOCAL
    return _register(actor=actor, location=checked.url, name=name or path, forge=forge, teams=teams)


def _whole_address(name: str) -> str:
    """An address as it is; "owner/name", or "name" of the configured owner, as its address on the first configured host."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?", name):
        return name
    owner, _, short = name.rpartition("/")
    owner = owner or settings.GITHUB_REPO_OWNER
    if not owner or not settings.GIT_HOSTS:
        raise Refused("no_owner", f"{name} names no owner; write owner/{name}, or set GITHUB_REPO_OWNER")
    return f"https://{settings.GIT_HOSTS[0]}/{owner}/{short}"


def checked_url(url: str) -> CheckedUrl:
    """The address, checked against the configured hosts and resolved once. Raises Refused."""
    private = (ip_network("0.0.0.0/0"), ip_network("::/0")) if settings.GIT_ALLOW_PRIVATE_ADDRESSES else ()
    hosts = frozenset(settings.GIT_HOSTS)
    policy = UrlPolicy(hosts=hosts, private_networks=private, ca_file=settings.GITHUB_CA_FILE)
    try:
        return check_repository_url(url, policy)
    except UrlError as error:
        raise Refused(str(error.reason), str(error)) from error


def _register(
    *,
    actor: Actor,
    location: str,
    name: str,
    forge: str,
    teams: Iterable[Team] = (),
    write_back: bool = False,
    is_demo: bool = False,
) -> Repository:
    known = Repository.objects.filter(location=location).first()
    if known is not None:
        if write_back and not known.write_back:
            with act(actor) as log:
                Repository.objects.filter(pk=known.pk).update(write_back=True)
                log.record("repository.write_back_on", subject=f"repository:{known.pk}", repository=known.pk, data={})
            known.write_back = True
        return known
    try:
        with act(actor) as log:
            repository = Repository.objects.create(
                name=_free_name(name), location=location, forge=forge, write_back=write_back, is_demo=is_demo
            )
            repository.owners.set(teams)
            log.record(
                "repository.registered",
                subject=f"repository:{repository.pk}",
                repository=repository.pk,
                data={"forge": str(forge), "write_back": write_back},
            )
    except IntegrityError:
        # Registered by somebody else at the same moment.
        return Repository.objects.get(location=location)
    return repository


def set_merging(*, actor: Actor, repository: Repository, method: str, queue: bool) -> None:
    """Says how approved pull requests of a repository are merged. Raises Refused for a method that is none, or the local forge cannot."""
    if method not in MergeMethod.values:
        raise Refused("unknown_method", f"{method} is no way to merge")
    if repository.forge == ForgeKind.LOCAL and (queue or method == MergeMethod.REBASE):
        raise Refused("not_supported", "The local forge merges by squash or merge commit, and has no merge queue.")
    with act(actor) as log:
        held = Repository.objects.select_for_update().get(pk=repository.pk)
        if (held.merge_method, held.merge_queue) == (method, queue):
            return
        Repository.objects.filter(pk=repository.pk).update(merge_method=method, merge_queue=queue)
        log.record(
            "repository.merging_set",
            subject=f"repository:{repository.pk}",
            repository=repository.pk,
            data={"method": str(method), "queue": queue},
        )


def _free_name(name: str) -> str:
    wanted = name[:180] or "repository"
    taken = set(
        Repository.objects.filter(Q(name=wanted) | Q(name__startswith=f"{wanted}-")).values_list("name", flat=True)
    )
    if wanted not in taken:
        return wanted
    return next(f"{wanted}-{number}" for number in range(2, len(taken) + 3) if f"{wanted}-{number}" not in taken)


def request_scan(
    *, actor: Actor, repository: Repository, cause: str, requested_by: Account | None = None, again: bool = False
) -> Scan:
    """Asks for the default branch to be read; one that waits already is returned instead of a second one.

    ``again``: a person asks, so targets that were rejected may be proposed once more.
    """
    with act(actor) as log:
        waiting = Scan.objects.filter(repository=repository, state=ScanState.PENDING, cause=cause).first()
        if waiting is not None:
            return waiting
        scan = Scan.objects.create(
            repository=repository, cause=cause, requested_by=requested_by, result={"again": again} if again else {}
        )
        log.record(
            "scan.requested",
            subject=f"scan:{scan.pk}",
            repository=repository.pk,
            data={"cause": cause, "by": requested_by.pk if requested_by else None},
        )
        log.wake("scan", scan.pk)
    return scan


def label_repository(*, account: Account, viewer: Viewer, repository: Repository, labels: Iterable[str]) -> Repository:
    """Says which labels a repository has from now on. Policies ask them, so it takes the right to administer.

    Raises NotPermitted, Refused (``bad_labels``).
    """
    if not visible_repositories(viewer).filter(pk=repository.pk).exists() or not viewer.may("administer"):
        raise NotPermitted("Your role does not permit it.")
    wanted = sorted({label.strip() for label in labels})
    if len(wanted) > MOST_LABELS or not all(0 < len(one) <= LONGEST_LABEL and one.isprintable() for one in wanted):
        raise Refused("bad_labels", f"At most {MOST_LABELS} labels of 1 to {LONGEST_LABEL} characters.")
    with act(Actor.of(account)) as log:
        held = Repository.objects.select_for_update(of=("self",)).get(pk=repository.pk)
        if held.labels != wanted:
            Repository.objects.filter(pk=held.pk).update(labels=wanted)
            log.record(
                "repository.labelled",
                subject=f"repository:{held.pk}",
                repository=held.pk,
                data={"labels": len(wanted), "before": len(held.labels)},
            )
    repository.labels = wanted
    return repository


def request_daily_scans() -> int:
    """Asks for every repository to be read again, once a day however often it is called. Returns how many were asked for."""
    asked = 0
    today = timezone.now() - timedelta(hours=12)
    for repository in Repository.objects.order_by("name"):
        with act(SYSTEM):
            leases.fence()
            if Scan.objects.filter(repository=repository, cause=DAILY, created_at__gt=today).exists():
                continue
            request_scan(actor=SYSTEM, repository=repository, cause=DAILY)
            asked += 1
    return asked


def mirror_of(repository: Repository) -> Mirror:
    """The bare mirror of a repository in the work folder; for the local forge this is the forge itself."""
    return git.Mirror(Path(settings.WORK_DIR) / "mirrors" / f"{repository.pk}.git")
