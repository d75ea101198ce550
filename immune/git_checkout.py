"""Writing an approved merge back into a person's own repository: the only place where anything outside our
mirrors is written.

Asked for by ``--write-back``, and only forward: the person's branch is moved when it is an ancestor of ours, when
nothing in their work tree differs from it, and without their hooks. Everything else is refused with the reason, and
nothing is touched.
"""

from __future__ import annotations

from pathlib import Path

from immune.git import Mirror, check_branch_name, head_of
from immune.git_process import GitError, Limits, Ran, Reason, Source, local_source, run


def push_back(where: Mirror, to_path: Path, branch: str) -> bool:
    """Move ``branch`` of the repository at ``to_path`` forward to ours; True when it moved, False when it was there
    already.

    A checked-out branch is moved together with its files, if the work tree is clean. Raises ``GitError``:
    not_a_repository, dirty, moved (the person's branch holds commits of its own), unsupported (content filters,
    linked work trees), bad_name.
    """
    check_branch_name(branch)
    ours = head_of(where, branch)
    target = _Target(to_path.resolve())
    current = target.value(f"refs/heads/{branch}")
    if current == ours:
        return False
    checked_out = target.checked_out(branch)
    if checked_out:
        target.need_clean()
    target.take(where, branch)
    if current is not None and not target.contains(current, ours):
        raise GitError(Reason.MOVED, f"the branch {branch!r} of the checkout holds commits of its own")
    if checked_out:
        # Files first: `read-tree -m -u` refuses as a whole before it would overwrite anything it does not know.
        target.git(["read-tree", "-m", "-u", current or ours, ours], work_tree=True)
    target.git(["update-ref", "-m", "immune: approved merge", f"refs/heads/{branch}", ours, current or "0" * 40])
    return True


class _Target:
    """A person's repository: a bare one, or one with a work tree."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git_dir = path / ".git" if (path / ".git").exists() else path
        if self.git_dir.is_file():
            raise GitError(
                Reason.UNSUPPORTED, "a linked work tree or submodule: write back to the main checkout instead"
            )
        bare = self.git(["rev-parse", "--is-bare-repository"]).out.strip() == b"true"
        self.bare = bare and self.git_dir == path
        # A filter is a program named by the repository; moving files would run it.
        if self.git(["config", "--get-regexp", r"^filter\."], accept=frozenset({0, 1})).out:
            raise GitError(Reason.UNSUPPORTED, "the checkout uses content filters; merge the branch there by hand")

    def git(
        self,
        arguments: list[str],
        *,
        work_tree: bool = False,
        source: Source | None = None,
        accept: frozenset[int] = frozenset({0}),
    ) -> Ran:
        extra = {"GIT_WORK_TREE": str(self.path)} if work_tree else {}
        return run(
            arguments,
            git_dir=self.git_dir,
            source=source,
            extra_environment=extra,
            limits=Limits(timeout=120),
            accept=accept,
        )

    def value(self, ref: str) -> str | None:
        return (
            self.git(["rev-parse", "--verify", "--quiet", ref], accept=frozenset({0, 1})).out.decode().strip() or None
        )

    def checked_out(self, branch: str) -> bool:
        if self.bare:
            return False
        trees = self.git(["worktree", "list", "--porcelain", "-z"]).out.decode("utf-8", "surrogateescape").split("\0")
        holders = [line for line in trees if line == f"branch refs/heads/{branch}"]
        head = self.git(["symbolic-ref", "--quiet", "HEAD"], accept=frozenset({0, 1})).out.decode().strip()
        here = head == f"refs/heads/{branch}"
        if len(holders) > int(here):
            raise GitError(Reason.UNSUPPORTED, "the branch is checked out in another work tree")
        return here

    def need_clean(self) -> None:
        arguments = ["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all"]
        if self.git(arguments, work_tree=True).out.strip():
            raise GitError(Reason.DIRTY, "the checkout has changes that are not committed")

    def take(self, where: Mirror, branch: str) -> None:
        """Objects only, into a reference of our own: fetching runs none of the checkout's hooks, pushing would."""
        refspec = f"+refs/heads/{branch}:refs/immune/incoming"
        arguments = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--"]
        self.git([*arguments, str(where.path), refspec], source=local_source(where.path))

    def contains(self, older: str, newer: str) -> bool:
        return self.git(["merge-base", "--is-ancestor", older, newer], accept=frozenset({0, 1})).code == 0
