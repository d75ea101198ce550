"""Repository, references and git objects, answered from a real repository."""

import base64
from datetime import datetime

from immune import git
from immune.git_process import run
from tests.github_server.routes import Call, route
from tests.github_server.world import Account, Answer, Repository

REPO = "/repos/{owner}/{repo}"


def user_shape(account: Account) -> dict:
    return {
        "login": account.login,
        "id": account.id,
        "type": "Bot" if account.app else "User",
        "html_url": f"https://github.test/{account.login}",
    }


def repository_shape(call: Call, repo: Repository) -> dict:
    return {
        "id": repo.id,
        "name": repo.name,
        "full_name": repo.full_name,
        "owner": user_shape(Account(1, repo.owner)),
        "private": True,
        "archived": repo.archived,
        "default_branch": repo.default_branch,
        "html_url": f"https://github.test/{repo.full_name}",
        "url": f"{call.base_url}/repos/{repo.full_name}",
        "permissions": {"admin": False, "push": call.caller.login in repo.writers, "pull": True},
    }


@route("GET", REPO)
def get_repository(call: Call):
    return 200, repository_shape(call, call.seen())


def _reference(call: Call, ref: str, commit: str) -> dict:
    url = f"{call.base_url}/repos/{call.full_name}/git"
    return {
        "ref": ref,
        "node_id": "REF",
        "url": f"{url}/{ref}",
        "object": {"type": "commit", "sha": commit, "url": f"{url}/commits/{commit}"},
    }


def _value(repo: Repository, ref: str) -> str | None:
    try:
        return git.ref_value(repo.mirror, ref)
    except git.GitError:
        return None


@route("GET", REPO + "/git/ref/{ref}")
def get_reference(call: Call):
    ref = f"refs/{call.path['ref']}"
    commit = _value(call.seen(), ref)
    if commit is None:
        raise Answer(404, "Not Found")
    return 200, _reference(call, ref, commit)


@route("POST", REPO + "/git/refs")
def create_reference(call: Call):
    repo, ref, commit = call.changed(), call.body["ref"], call.body["sha"]
    _need_commit(repo, commit)
    if _value(repo, ref) is not None:
        raise Answer(422, "Reference already exists")
    try:
        git.move_refs(repo.mirror, [git.RefMove(ref, commit, None)])
    except git.GitError as error:
        taken = error.reason is git.Reason.NAME_TAKEN
        raise Answer(422, "Cannot lock ref" if taken else "Reference name is not valid") from error
    call.pushed(repo, ref, commit)
    return 201, _reference(call, ref, commit)


@route("PATCH", REPO + "/git/refs/{ref}")
def move_reference(call: Call):
    repo, ref, commit = call.changed(), f"refs/{call.path['ref']}", call.body["sha"]
    _need_commit(repo, commit)
    old = _value(repo, ref)
    if old is None:
        raise Answer(422, "Reference does not exist")
    _need_unprotected(repo, ref)
    if not call.body.get("force") and not git.is_ancestor(repo.mirror, old, commit):
        raise Answer(422, "Update is not a fast forward")
    git.move_refs(repo.mirror, [git.RefMove(ref, commit, old)])
    call.pushed(repo, ref, commit)
    return 200, _reference(call, ref, commit)


@route("DELETE", REPO + "/git/refs/{ref}")
def delete_reference(call: Call):
    repo, ref = call.changed(), f"refs/{call.path['ref']}"
    old = _value(repo, ref)
    if old is None:
        raise Answer(422, "Reference does not exist")
    _need_unprotected(repo, ref)
    git.delete_ref(repo.mirror, ref, old)
    return 204, None


def _need_unprotected(repo: Repository, ref: str) -> None:
    if repo.protection.locked and ref == f"refs/heads/{repo.default_branch}":
        raise Answer(422, "Cannot update this protected ref.")


def _need_commit(repo: Repository, commit: str) -> None:
    try:
        if git.commit_exists(repo.mirror, commit):
            return
    except git.GitError:
        pass
    raise Answer(422, "Object does not exist")


def commit_shape(call: Call, repo: Repository, commit: str) -> dict:
    text = run(["cat-file", "commit", commit], git_dir=repo.mirror.path).out.decode()
    head, _, message = text.partition("\n\n")
    fields: dict[str, list[str]] = {}
    for line in head.splitlines():
        key, _, value = line.partition(" ")
        fields.setdefault(key, []).append(value)
    url = f"{call.base_url}/repos/{call.full_name}/git"
    return {
        "sha": commit,
        "url": f"{url}/commits/{commit}",
        "message": message,
        "author": _person(fields["author"][0]),
        "committer": _person(fields["committer"][0]),
        "tree": {"sha": fields["tree"][0], "url": f"{url}/trees/{fields['tree'][0]}"},
        "parents": [
            {"sha": one, "url": f"{url}/commits/{one}", "html_url": f"https://github.test/{one}"}
            for one in fields.get("parent", [])
        ],
    }


def _person(line: str) -> dict:
    who, seconds, _ = line.rsplit(" ", 2)
    name, _, mail = who.partition(" <")
    date = datetime.fromtimestamp(int(seconds)).astimezone().isoformat()
    return {"name": name, "email": mail.rstrip(">"), "date": date}


@route("GET", REPO + "/git/commits/{commit_sha}")
def get_commit(call: Call):
    repo = call.seen()
    try:
        if git.commit_exists(repo.mirror, call.path["commit_sha"]):
            return 200, commit_shape(call, repo, call.path["commit_sha"])
    except git.GitError:
        pass
    raise Answer(404, "Not Found")


@route("POST", REPO + "/git/blobs")
def create_blob(call: Call):
    repo = call.changed()
    plain = call.body.get("encoding", "utf-8") == "utf-8"
    content = call.body["content"].encode() if plain else base64.b64decode(call.body["content"])
    made = run(["hash-object", "-w", "--no-filters", "--stdin"], git_dir=repo.mirror.path, stdin=content)
    sha = made.out.decode().strip()
    return 201, {"sha": sha, "url": f"{call.base_url}/repos/{call.full_name}/git/blobs/{sha}"}


def _entries(repo: Repository, tree: str) -> dict[str, tuple[str, str, str, str]]:
    listed = run(["ls-tree", "-l", "-z", tree], git_dir=repo.mirror.path).out.decode().split("\0")
    found = {}
    for line in filter(None, listed):
        head, _, name = line.partition("\t")
        mode, kind, sha, size = head.split()
        found[name] = (mode, kind, sha, size)
    return found


@route("GET", REPO + "/git/trees/{tree_sha}")
def get_tree(call: Call):
    repo = call.seen()
    try:
        entries = _entries(repo, call.path["tree_sha"])
    except git.GitError as error:
        raise Answer(404, "Not Found") from error
    url = f"{call.base_url}/repos/{call.full_name}/git"
    tree = [
        {"path": name, "mode": mode, "type": kind, "sha": sha, "url": f"{url}/{kind}s/{sha}"}
        | ({} if size == "-" else {"size": int(size)})
        for name, (mode, kind, sha, size) in entries.items()
    ]
    return 200, {
        "sha": call.path["tree_sha"],
        "url": f"{url}/trees/{call.path['tree_sha']}",
        "tree": tree,
        "truncated": False,
    }


@route("POST", REPO + "/git/trees")
def create_tree(call: Call):
    repo = call.changed()
    changes: dict[str, dict] = {one["path"]: one for one in call.body["tree"]}
    if not call.caller.workflows and any(path.startswith(".github/workflows/") for path in changes):
        # So it says it, to a token without the scope and to an App without the permission.
        raise Answer(403, "Resource not accessible by integration") if call.caller.app else Answer(404, "Not Found")
    sha = _written(repo, call.body.get("base_tree"), changes)
    url = f"{call.base_url}/repos/{call.full_name}/git"
    return 201, {"sha": sha, "url": f"{url}/trees/{sha}", "truncated": False, "tree": []}


def _written(repo: Repository, base: str | None, changes: dict[str, dict]) -> str:
    entries = _entries(repo, base) if base else {}
    below: dict[str, dict[str, dict]] = {}
    for path, change in changes.items():
        name, _, rest = path.partition("/")
        if rest:
            below.setdefault(name, {})[rest] = change
        elif change.get("sha", "") is None:
            entries.pop(name, None)
        else:
            entries[name] = (change["mode"], change.get("type", "blob"), change["sha"], "")
    for name, inner in below.items():
        old = entries.get(name)
        made = _written(repo, old[2] if old and old[1] == "tree" else None, inner)
        if made == git_empty(repo):
            entries.pop(name, None)
        else:
            entries[name] = ("040000", "tree", made, "")
    lines = "".join(f"{mode} {kind} {sha}\t{name}\0" for name, (mode, kind, sha, _) in entries.items())
    return run(["mktree", "-z"], git_dir=repo.mirror.path, stdin=lines.encode()).out.decode().strip()


def git_empty(repo: Repository) -> str:
    return run(["mktree", "-z"], git_dir=repo.mirror.path).out.decode().strip()


@route("POST", REPO + "/git/commits")
def create_commit(call: Call):
    repo, body = call.changed(), call.body
    environment = {}
    caller = {"name": call.caller.login, "email": f"{call.caller.login}@users.github.test"}
    author = body.get("author") or caller
    for role, given in (("AUTHOR", author), ("COMMITTER", body.get("committer") or author)):
        environment[f"GIT_{role}_NAME"] = given["name"]
        environment[f"GIT_{role}_EMAIL"] = given["email"]
        if "date" in given:
            environment[f"GIT_{role}_DATE"] = given["date"]
    arguments = ["commit-tree", body["tree"]]
    for parent in body.get("parents", []):
        arguments += ["-p", parent]
    try:
        made = run(
            [*arguments, "-F", "-"],
            git_dir=repo.mirror.path,
            stdin=body["message"].encode(),
            extra_environment=environment,
        )
    except git.GitError as error:
        raise Answer(422, "Tree SHA does not exist") from error
    return 201, commit_shape(call, repo, made.out.decode().strip())


@route("GET", REPO + "/contents/{path}")
def get_contents(call: Call):
    repo = call.seen()
    ref = call.query.get("ref") or repo.default_branch
    commit = repo.head(ref) or ref
    try:
        content = git.read_file(repo.mirror, commit, call.path["path"])
    except git.GitError as error:
        raise Answer(404, "Not Found") from error
    sha = run(["hash-object", "--stdin"], git_dir=repo.mirror.path, stdin=content).out.decode().strip()
    return 200, {
        "type": "file",
        "encoding": "base64",
        "size": len(content),
        "name": call.path["path"].rsplit("/", 1)[-1],
        "path": call.path["path"],
        "content": base64.encodebytes(content).decode(),
        "sha": sha,
    }
