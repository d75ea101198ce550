"""What the test GitHub knows: accounts, Apps, repositories with real git behind them, pull requests and what
hangs on them.
"""

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from immune import git
from immune.git import Identity, Mirror
from immune.git_mirror import mirror

GITHUB = Identity("GitHub", "noreply@github.test")


class Answer(Exception):
    """The request ends with this status and body."""

    def __init__(self, status: int, message: str, **body: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, "documentation_url": "https://docs.github.test/rest", **body}
        if status == 422 and "errors" not in body:
            self.body["errors"] = [{"resource": "Any", "code": "custom", "message": message}]


@dataclass
class Account:
    """A user or an App's bot. ``app``: the slug of the App it belongs to; ``workflows``: whether it may write workflow files."""

    id: int
    login: str
    app: str = ""
    app_id: int = 0
    workflows: bool = True


@dataclass
class App:
    """A GitHub App and where it is installed."""

    id: int
    slug: str
    public_key: str
    installation_id: int
    repositories: set[str]


@dataclass
class Protection:
    """What the default branch asks of a merge."""

    required_reviews: int = 0
    required_checks: tuple[str, ...] = ()
    merge_queue: bool = False
    locked: bool = False


@dataclass
class Comment:
    """A comment on a pull request."""

    id: int
    author: Account
    body: str
    number: int


@dataclass
class Review:
    """A review of a pull request."""

    id: int
    author: Account
    body: str
    state: str
    commit: str


@dataclass
class CheckRun:
    """A check run of an App."""

    id: int
    head: str
    name: str
    external_id: str
    status: str
    conclusion: str | None
    title: str | None
    summary: str | None
    details_url: str
    app: Account


@dataclass
class Status:
    """A commit status."""

    id: int
    sha: str
    state: str
    context: str
    description: str | None
    target_url: str | None
    author: Account


@dataclass
class Pull:
    """A pull request. ``head`` is kept when its branch is gone."""

    number: int
    author: Account
    title: str
    body: str
    branch: str
    base: str
    head: str
    base_sha: str
    draft: bool
    state: str = "open"
    merge_commit: str | None = None
    merged_by: Account | None = None
    labels: list[str] = field(default_factory=list)
    assignees: list[Account] = field(default_factory=list)
    teams: list[str] = field(default_factory=list)
    queued_head: str | None = None
    told_head: str = ""
    told_closed: bool = False

    @property
    def merged(self) -> bool:
        return self.merge_commit is not None

    @property
    def node_id(self) -> str:
        return f"PR_{self.number}"


@dataclass
class Repository:
    """One repository and everything on it. ``writers``/``readers`` are logins."""

    id: int
    full_name: str
    mirror: Mirror
    writers: set[str] = field(default_factory=set)
    readers: set[str] = field(default_factory=set)
    protection: Protection = field(default_factory=Protection)
    merge_methods: set[str] = field(default_factory=lambda: {"squash", "merge", "rebase"})
    archived: bool = False
    blocked: bool = False
    pulls: dict[int, Pull] = field(default_factory=dict)
    comments: list[Comment] = field(default_factory=list)
    reviews: dict[int, list[Review]] = field(default_factory=dict)
    checks: list[CheckRun] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    merges: list[tuple[int, str, str]] = field(default_factory=list)
    runs: list[Any] = field(default_factory=list)
    told_branches: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.full_name.split("/")[0]

    @property
    def name(self) -> str:
        return self.full_name.split("/")[1]

    @property
    def default_branch(self) -> str:
        return git.default_branch(self.mirror)

    def branches(self) -> dict[str, str]:
        return git.branches(self.mirror)

    def is_forced(self, before: str | None, after: str | None) -> bool:
        """Whether a branch moved to a commit that does not contain the old one."""
        return before is not None and after is not None and not git.is_ancestor(self.mirror, before, after)

    def head(self, branch: str) -> str | None:
        return git.ref_value(self.mirror, f"refs/heads/{branch}")

    def refresh(self, pull: Pull) -> Pull:
        """An open pull request follows its branch; one whose branch is gone is closed, as at GitHub."""
        if pull.state == "open":
            head = self.head(pull.branch)
            if head is None:
                pull.state = "closed"
            else:
                pull.head = head
                pull.base_sha = self.head(pull.base) or pull.base_sha
        return pull

    def conflicts(self, pull: Pull) -> bool:
        """Whether git cannot merge it."""
        try:
            self.plan(pull, "look", squash=True)
        except git.GitError as error:
            return error.reason is git.Reason.CONFLICT
        return False

    def plan(self, pull: Pull, message: str, *, squash: bool) -> str:
        """The merge commit, made but not yet on the base branch."""
        base = self.head(pull.base) or ""
        now = datetime.now(UTC)
        return git.plan_merge(self.mirror, base, pull.head, message=message, author=GITHUB, when=now, squash=squash)

    def missing_checks(self, pull: Pull) -> list[str]:
        """Required checks without a green result on the head."""
        green = {run.name for run in self.checks if run.head == pull.head and run.conclusion == "success"}
        newest: dict[str, str] = {}
        for status in self.statuses:
            if status.sha == pull.head:
                newest[status.context] = status.state
        green |= {context for context, state in newest.items() if state == "success"}
        return [name for name in self.protection.required_checks if name not in green]

    def approvals(self, pull: Pull) -> int:
        """Approving reviews of the present head, if nobody's last word was a request for changes."""
        last: dict[str, Review] = {}
        for review in self.reviews.get(pull.number, []):
            if review.state in ("APPROVED", "CHANGES_REQUESTED"):
                last[review.author.login] = review
        if any(review.state == "CHANGES_REQUESTED" for review in last.values()):
            return 0
        return sum(review.commit == pull.head for review in last.values())


class World:
    """All of the test GitHub. Guarded by one lock: what the real one does at once, this one does in turn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}
        self.tokens: dict[str, Account] = {}
        self.apps: dict[int, App] = {}
        self.repositories: dict[str, Repository] = {}
        self.downloads: dict[str, bytes] = {}
        self._ids = iter(range(1000, 10**9))
        self._pull_numbers: dict[str, int] = {}

    def new_id(self) -> int:
        return next(self._ids)

    def account(self, login: str, *tokens: str, app: str = "", app_id: int = 0) -> Account:
        """The account of this name, made when new, with these tokens."""
        with self.lock:
            found = self.accounts.setdefault(login, Account(self.new_id(), login, app, app_id))
            self.tokens.update(dict.fromkeys(tokens, found))
            return found

    def install_app(self, slug: str, public_key: str, *repositories: str) -> App:
        """An App, installed on these repositories, where its bot may write."""
        with self.lock:
            app = App(self.new_id(), slug, public_key, self.new_id(), set(repositories))
            self.apps[app.id] = app
            self.account(f"{slug}[bot]", app=slug, app_id=app.id)
            for name in repositories:
                self.repositories[name.lower()].writers.add(f"{slug}[bot]")
            return app

    def repository(self, full_name: str, source: Path, *writers: str) -> Repository:
        """A repository holding what the git repository at ``source`` holds."""
        with self.lock:
            kept = mirror(source, self.folder / f"{full_name.replace('/', '--')}.git")
            made = Repository(self.new_id(), full_name, kept, set(writers))
            made.told_branches = made.branches()
            self.repositories[full_name.lower()] = made
            return made

    def next_number(self, repository: Repository) -> int:
        number = self._pull_numbers.get(repository.full_name, 0) + 1
        self._pull_numbers[repository.full_name] = number
        return number

    def seen_by(self, full_name: str, viewer: Account) -> Repository:
        """The repository, if this account may see it. Raises ``Answer`` (404, 451)."""
        found = self.repositories.get(full_name.lower())
        if found is None or viewer.login not in found.writers | found.readers:
            raise Answer(404, "Not Found")
        if found.blocked:
            raise Answer(451, "Repository access blocked")
        return found

    def changed_by(self, full_name: str, writer: Account) -> Repository:
        """The repository, if this account may change it. Raises ``Answer`` (403, 404, 451)."""
        found = self.seen_by(full_name, writer)
        if found.archived:
            raise Answer(403, "Repository was archived so is read-only.")
        if writer.login not in found.writers:
            raise Answer(403, "Resource not accessible by personal access token")
        return found
