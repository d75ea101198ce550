"""Branches at GitHub, made through its git data API: one commit on a known base, recognised again by its tree.

Nothing is cloned for it. Only the folders on the way to the changed files are read; the tree the change leads to is
computed here, compared with what GitHub wrote, and tells a branch of ours from one that somebody else has changed.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC
from typing import Any
from urllib.parse import quote

from immune import git
from immune.forges import base, git_objects
from immune.forges.base import Answer, Done, Failed, Failure, Refusal, Refused, Retry
from immune.forges.git_objects import Entry
from immune.forges.github_session import Session, Stopped

WORKFLOWS = ".github/workflows/"


class Branches:
    """The branches of one repository (``path``: /repos/owner/name)."""

    def __init__(self, session: Session, path: str) -> None:
        self.session = session
        self.path = path

    def head(self, name: str) -> str | None:
        """The commit a branch stands at, None when there is no such branch. Raises ``Stopped``."""
        reply = self.session.read(f"{self.path}/git/ref/heads/{quote(name)}")
        if reply.status == 404:
            return None
        return str(self.session.need(reply, 200).data["object"]["sha"])

    def delete(self, name: str, expected_commit: str) -> Answer[None]:
        """See ``Forge.delete_branch``. Raises ``Stopped``."""
        here = self.head(name)
        if here is None:
            return Done(None, already=True)
        if here != expected_commit:
            return _branch_moved(name)
        gone = self.session.write("DELETE", f"{self.path}/git/refs/heads/{quote(name)}")
        if gone.status == 404 or (gone.status == 422 and "does not exist" in gone.message.lower()):
            return Done(None, already=True)
        self.session.need(gone, 204)
        return Done(None)

    def ensure(self, request: base.BranchRequest) -> Answer[base.Branch]:
        """See ``Forge.ensure_branch``. Raises ``Stopped``."""
        git.check_branch_name(request.name)
        for path in request.changes:
            git.check_path(path)
        try:
            return self._ensure(request)
        except git_objects.NotAFile as odd:
            return Refused(Refusal.INVALID, f"{odd} is a link, a folder or a submodule")
        except git_objects.NothingThere as odd:
            return Refused(Refusal.NOT_FOUND, f"{odd} is not in the repository", Retry.AFTER_REVIEW)

    def _ensure(self, request: base.BranchRequest) -> Answer[base.Branch]:
        base_tree = str(self.session.get(f"{self.path}/git/commits/{quote(request.base_commit)}")["tree"]["sha"])
        planned = git_objects.plan(self._folders(base_tree, request.changes), request.changes)
        if planned.tree == base_tree:
            return Refused(Refusal.NOTHING_CHANGED, "these files are already like that", Retry.AFTER_REVIEW)
        here = self.head(request.name)
        if here is not None and self._is_that_commit(here, planned.tree, request):
            return Done(base.Branch(request.name, here), already=True)
        if here is not None and here != request.replaces:
            return _branch_moved(request.name)
        return self._put_branch(request, self._commit(request, base_tree, planned), here)

    def _folders(self, root: str, changes: Mapping[str, bytes | None]) -> dict[str, tuple[Entry, ...]]:
        """The folders on the way to the changed paths; only those are read, whatever the size of the repository."""
        folders = {"": self._folder(root)}
        for path in changes:
            parts = path.split("/")[:-1]
            for depth in range(len(parts)):
                parent, here = "/".join(parts[:depth]), "/".join(parts[: depth + 1])
                found = next((entry for entry in folders.get(parent, ()) if entry.name == parts[depth]), None)
                if here not in folders and found is not None and found.mode == git_objects.FOLDER:
                    folders[here] = self._folder(found.object_id)
        return folders

    def _folder(self, tree: str) -> tuple[Entry, ...]:
        listed = self.session.get(f"{self.path}/git/trees/{tree}")
        if listed.get("truncated"):
            raise Stopped(Failed(Failure.UNREADABLE_ANSWER, "GitHub listed a folder only in part"))
        return tuple(Entry(one["path"], str(one["mode"]).lstrip("0"), one["sha"]) for one in listed["tree"])

    def _is_that_commit(self, commit: str, tree: str, request: base.BranchRequest) -> bool:
        found = self.session.get(f"{self.path}/git/commits/{commit}")
        parents = [parent["sha"] for parent in found["parents"]]
        return bool(
            found["tree"]["sha"] == tree
            and parents == [request.base_commit]
            and found["author"]["email"] == request.author.email
            and str(found["message"]).strip() == request.message.strip()
        )

    def _commit(self, request: base.BranchRequest, base_tree: str, planned: git_objects.Planned) -> str:
        entries = []
        for path, content in sorted(request.changes.items()):
            entry: dict[str, Any] = {"path": path, "mode": planned.modes.get(path, "100644"), "type": "blob"}
            if content is None:
                entry["sha"] = None
            else:
                body = {"content": base64.b64encode(content).decode(), "encoding": "base64"}
                entry["sha"] = self._made(f"{self.path}/git/blobs", body)
            entries.append(entry)
        written = self.session.write("POST", f"{self.path}/git/trees", {"base_tree": base_tree, "tree": entries})
        if written.status in (403, 404) and any(path.startswith(WORKFLOWS) for path in request.changes):
            # The files themselves were just taken. GitHub says 404 of a tree whose workflows a token may not write.
            raise Stopped(_no_workflows(written.message))
        tree = str(self.session.need(written, 201).data["sha"])
        if tree != planned.tree:
            raise Stopped(Failed(Failure.UNREADABLE_ANSWER, "GitHub wrote other files than it was given"))
        when = request.when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        who = {"name": request.author.name, "email": request.author.email, "date": when}
        # Word for word: the commit is then the one a local repository makes of the same request.
        commit = {"message": request.message, "tree": tree, "parents": [request.base_commit]}
        return self._made(f"{self.path}/git/commits", {**commit, "author": who, "committer": who})

    def _made(self, path: str, body: Mapping[str, Any]) -> str:
        return str(self.session.need(self.session.write("POST", path, body), 201).data["sha"])

    def _put_branch(self, request: base.BranchRequest, commit: str, here: str | None) -> Answer[base.Branch]:
        if here is None:
            made = self.session.write(
                "POST", f"{self.path}/git/refs", {"ref": f"refs/heads/{request.name}", "sha": commit}
            )
        else:
            # REST cannot name the old head; it was read a moment ago, and a merge names the reviewed head anyway.
            made = self.session.write(
                "PATCH", f"{self.path}/git/refs/heads/{quote(request.name)}", {"sha": commit, "force": True}
            )
        if made.status == 422 and "already exists" in made.message.lower():
            now = self.head(request.name)
            return (
                Done(base.Branch(request.name, commit), already=True) if now == commit else _branch_moved(request.name)
            )
        if made.status == 422 and "cannot lock ref" in made.message.lower():
            message = f"another branch occupies the name {request.name}"
            return Refused(Refusal.BRANCH_NAME_TAKEN, message, Retry.AFTER_REVIEW, detail=made.message)
        if made.status in (403, 404, 422) and "workflow" in made.message.lower():
            return _no_workflows(made.message)
        self.session.need(made, 200, 201)
        return Done(base.Branch(request.name, commit))


def _no_workflows(said: str) -> Refused:
    message = (
        "GitHub lets our account write no workflow files: give the token the scope workflow (fine-grained: Workflows, read and"
        " write), or the App the permission Workflows"
    )
    return Refused(Refusal.WORKFLOWS, message, Retry.LATER, detail=said)


def _branch_moved(name: str) -> Refused:
    message = f"the branch {name} holds commits that are not ours"
    return Refused(Refusal.BRANCH_MOVED, message, Retry.AFTER_REVIEW)
