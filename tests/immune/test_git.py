"""Running git on material nobody vouches for: what is read, what is written, what an attacker does not get."""

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immune import git
from immune.git import GitError, Limits, Mirror, Reason
from immune.git_checkout import push_back
from immune.git_mirror import mirror, update
from immune.git_process import STALE_LOCK_SECONDS, Source, run
from tests.immune.repositories import IMMUNE, NOON, checkout, kill_git_once, save
from tests.immune.repositories import git as plain_git

PIN = "# keep me\nrequests==2.19.0\n"


@pytest.fixture
def person(tmp_path: Path) -> Path:
    return checkout(tmp_path / "person", {"requirements.txt": PIN, "app/main.py": "print('hello')\n"})


@pytest.fixture
def mirrored(person: Path, tmp_path: Path) -> Mirror:
    return mirror(person, tmp_path / "mirrors" / "one.git")


def commit(where: Mirror, changes, base=None, message="change", when=NOON) -> str:
    base = base or git.head_of(where, "main")
    return git.commit_files(where, base, changes, message=message, author=IMMUNE, when=when)


def refused(reason: Reason):
    return pytest.raises(GitError, check=lambda error: error.reason is reason)


# --- mirrors


def test_a_mirror_holds_the_branches_and_the_default_branch(person, tmp_path):
    plain_git(person, "branch", "side")
    made = mirror(person, tmp_path / "m.git")
    head = plain_git(person, "rev-parse", "HEAD")
    assert git.branches(made) == {"main": head, "side": head}
    assert git.default_branch(made) == "main"


def test_what_is_no_repository_is_said_so_and_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    for source in (tmp_path / "folder", tmp_path / "absent"):
        with refused(Reason.NOT_A_REPOSITORY):
            mirror(source, tmp_path / "out" / "m.git")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["m.git.lock"]


def test_an_empty_repository_is_not_an_error_of_git_but_a_reason(tmp_path):
    (tmp_path / "new").mkdir()
    plain_git(tmp_path / "new", "init", "--quiet")
    with refused(Reason.EMPTY_REPOSITORY):
        mirror(tmp_path / "new", tmp_path / "m.git")


def test_a_repository_over_the_size_limit_is_stopped_and_leaves_nothing(person, tmp_path):
    (person / "big.bin").write_bytes(os.urandom(3_000_000))
    plain_git(person, "add", "big.bin")
    plain_git(person, "commit", "--quiet", "-m", "big")
    with refused(Reason.TOO_LARGE):
        mirror(person, tmp_path / "out" / "m.git", max_bytes=1_000_000)
    assert not (tmp_path / "out" / "m.git").exists()


def test_a_mirror_is_never_made_twice(person, mirrored):
    with refused(Reason.EXISTS):
        mirror(person, mirrored.path)


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% {trap}", "git://example.org/a", "http://example.org/a", "--upload-pack=touch owned"]
)
def test_other_kinds_of_address_never_reach_a_helper(url, tmp_path):
    trap = tmp_path / "owned"
    with pytest.raises(GitError) as caught:
        mirror(Source(url=url.format(trap=trap)), tmp_path / "m.git")
    assert caught.value.reason in (Reason.FORBIDDEN_URL, Reason.NOT_A_REPOSITORY)
    assert not trap.exists()


def test_a_path_is_refused_where_only_https_is_allowed(person, tmp_path):
    with refused(Reason.FORBIDDEN_URL):
        mirror(Source(url=str(person)), tmp_path / "m.git")


def test_an_update_follows_upstream_also_when_it_was_rewritten(person, mirrored):
    new = save(person, {"b.txt": "b"}, "second")
    assert update(mirrored, person).moved == ("main",)
    assert git.head_of(mirrored, "main") == new
    plain_git(person, "commit", "--quiet", "--amend", "-m", "rewritten")
    assert update(mirrored, person).moved == ("main",)
    assert git.head_of(mirrored, "main") == plain_git(person, "rev-parse", "HEAD")


def test_an_update_keeps_what_was_merged_here(person, mirrored):
    mine = commit(mirrored, {"requirements.txt": b"requests==2.32.0\n"})
    git.move_refs(mirrored, [git.RefMove("refs/heads/main", mine, git.head_of(mirrored, "main"))])
    git.create_branch(mirrored, "immune/fix", mine, None)
    assert update(mirrored, person).kept == ("main",)
    assert git.head_of(mirrored, "main") == mine
    save(person, {"b.txt": "b"}, "second")
    assert update(mirrored, person).diverged == ("main",)
    assert git.branches(mirrored) == {"main": mine, "immune/fix": mine}


def test_a_branch_deleted_upstream_goes_unless_it_was_changed_here(person, mirrored):
    plain_git(person, "branch", "one")
    plain_git(person, "branch", "two")
    update(mirrored, person)
    mine = commit(mirrored, {"b.txt": b"b"})
    git.move_refs(mirrored, [git.RefMove("refs/heads/two", mine, git.head_of(mirrored, "two"))])
    plain_git(person, "branch", "-D", "one", "two")
    assert update(mirrored, person).deleted == ("one",)
    assert git.branches(mirrored).keys() == {"main", "two"}


def test_a_new_default_branch_is_noticed(person, mirrored):
    plain_git(person, "branch", "-m", "main", "trunk")
    assert update(mirrored, person).default == "trunk"
    assert git.default_branch(mirrored) == "trunk"


# --- nothing of the repository runs


def test_hooks_filters_and_drivers_of_a_repository_never_run(tmp_path):
    trap = tmp_path / "ran"
    person = checkout(tmp_path / "p", {"a.txt": "a\n", ".gitattributes": "* filter=evil diff=evil merge=evil\n"})
    for key in ("filter.evil.smudge", "filter.evil.clean", "diff.evil.textconv", "merge.evil.driver", "core.fsmonitor"):
        plain_git(person, "config", key, f"touch {trap}; cat")
    plain_git(person, "config", "uploadpack.packObjectsHook", f"touch {trap}; exec")
    made = mirror(person, tmp_path / "m.git")
    hooks = made.path / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("reference-transaction", "post-commit", "pre-commit", "post-update", "update"):
        hook = hooks / name
        hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
        hook.chmod(0o755)
    one = commit(made, {"a.txt": b"b\n"})
    two = commit(made, {"c.txt": b"c\n"})
    git.create_branch(made, "x", one, None)
    git.merge_commit(made, "x", two, expected_base=one, message="m", author=IMMUNE, when=NOON)
    git.diff(made, one, two)
    update(made, person)
    assert not trap.exists()


def test_settings_of_the_machine_and_variables_of_the_caller_do_not_count(person, tmp_path, monkeypatch):
    trap = tmp_path / "ran"
    config = tmp_path / "gitconfig"
    config.write_text(f"[alias]\n\tls-tree = !touch {trap}\n[core]\n\tfsmonitor = touch {trap}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", f"touch {trap}")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext")
    made = mirror(person, tmp_path / "m.git")
    assert git.list_tree(made, git.head_of(made, "main"))
    assert not trap.exists()


def test_a_token_is_in_no_argument_and_in_no_file_of_the_mirror(tmp_path, monkeypatch):
    said = tmp_path / "said"
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {said}\nenv > {said}.env\nexit 128\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    source = Source(url="https://git.example.org/a/b", token="s3cret", resolve="git.example.org:443:192.0.2.1")
    with pytest.raises(GitError):
        run(["ls-remote", "--", source.url], git_dir=None, source=source)
    environment = Path(f"{said}.env").read_text()
    assert "s3cret" not in said.read_text()
    assert "http.https://git.example.org/.extraHeader" in environment
    assert "git.example.org:443:192.0.2.1" in environment
    assert "s3cret" not in repr(source)


# --- limits


def test_a_git_that_takes_too_long_is_ended_with_its_children(tmp_path, monkeypatch):
    fake = tmp_path / "git"
    fake.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/child\nwait\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with refused(Reason.TIMED_OUT):
        run(["log"], git_dir=None, limits=Limits(timeout=0.5))
    child = (tmp_path / "child").read_text().strip()
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_tree_that_unfolds_without_end_is_stopped(mirrored):
    blob = run(["hash-object", "-w", "--stdin"], git_dir=mirrored.path, stdin=b"x").out.decode().strip()
    line = f"100644 blob {blob}\tf"
    for _ in range(10):
        names = "\n".join(line.replace("\tf", f"\tf{n}") for n in range(10))
        tree = run(["mktree"], git_dir=mirrored.path, stdin=names.encode()).out.decode().strip()
        line = f"040000 tree {tree}\tf"
    bomb = plain_git(mirrored.path, "commit-tree", tree, "-m", "bomb")
    with refused(Reason.TOO_LARGE):
        git.list_tree(mirrored, bomb, max_files=5000)


def test_a_file_over_the_limit_is_not_read(mirrored):
    with refused(Reason.TOO_LARGE):
        git.read_file(mirrored, git.head_of(mirrored, "main"), "requirements.txt", max_bytes=4)


# --- reading


def test_files_are_listed_and_read_as_they_are(mirrored):
    head = git.head_of(mirrored, "main")
    assert [(e.path, e.mode, e.size) for e in git.list_tree(mirrored, head)] == [
        ("app/main.py", "100644", 15),
        ("requirements.txt", "100644", len(PIN)),
    ]
    assert git.read_file(mirrored, head, "requirements.txt") == PIN.encode()


def test_links_are_not_followed_and_folders_are_no_files(person, mirrored):
    (person / "link").symlink_to("/etc/passwd")
    plain_git(person, "add", "link")
    plain_git(person, "commit", "--quiet", "-m", "link")
    update(mirrored, person)
    head = git.head_of(mirrored, "main")
    for path in ("link", "app"):
        with refused(Reason.NOT_A_FILE):
            git.read_file(mirrored, head, path)
    with refused(Reason.NOT_FOUND):
        git.read_file(mirrored, head, "link/passwd")
    with refused(Reason.NOT_A_FILE):
        commit(mirrored, {"link": b"replaced"})


@pytest.mark.parametrize("path", ["*.txt", ":(glob)**", ":/app", "requirements.tx?", "absent"])
def test_a_path_is_a_name_and_never_a_pattern(mirrored, path):
    with refused(Reason.NOT_FOUND):
        git.read_file(mirrored, git.head_of(mirrored, "main"), path)


BAD_PATHS = ["", "/etc/passwd", "../x", "a/../b", "a//b", ".git/config", "a/.GIT/x", ".git./x", "a\nb", "a\0b", "a\\b"]


@pytest.mark.parametrize("path", [*BAD_PATHS, "git~1/config", ".g\u200cit/config"])
def test_a_path_outside_the_tree_or_into_git_itself_is_not_written(mirrored, path):
    with refused(Reason.BAD_NAME):
        commit(mirrored, {path: b"x"})


@pytest.mark.parametrize("name", ["", "-d", "--all", "a..b", "a b", "a~1", "HEAD", "a.lock", "@", "a@{1}", "x/", "a\n"])
def test_a_name_that_is_no_branch_name_is_refused(mirrored, name):
    with refused(Reason.BAD_NAME):
        git.head_of(mirrored, name)
    with refused(Reason.BAD_NAME):
        git.create_branch(mirrored, name, git.head_of(mirrored, "main"), None)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab/.@{~^:?*[\\ -\x7fé", min_size=1, max_size=8))
def test_branch_names_are_judged_as_git_judges_them(name):
    judged = subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True, cwd="/", check=False)
    # `@{-1}` and the like expand to another name; none of them is a name itself.
    # `@` is one to git, but also its short word for HEAD: never one here.
    taken = judged.returncode == 0 and judged.stdout.decode().rstrip("\n") == name != "@"
    try:
        git.check_branch_name(name)
        assert taken
    except GitError:
        assert not taken


@pytest.mark.parametrize("commit_id", ["main", "HEAD", "--all", "abc", "0" * 39, "g" * 40])
def test_a_commit_is_named_by_its_full_id_only(mirrored, commit_id):
    with refused(Reason.UNKNOWN_REF):
        git.list_tree(mirrored, commit_id)


# --- writing


def test_the_same_change_made_twice_is_the_same_commit(mirrored):
    one = commit(mirrored, {"requirements.txt": b"requests==2.32.0\n"})
    assert commit(mirrored, {"requirements.txt": b"requests==2.32.0\n"}) == one
    assert commit(mirrored, {"requirements.txt": b"requests==2.32.0\n"}, when=NOON + timedelta(seconds=1)) != one
    assert git.parents_of(mirrored, one) == (git.head_of(mirrored, "main"),)


def test_only_the_named_file_changes_and_its_mode_stays(person, mirrored):
    (person / "run.sh").write_text("#!/bin/sh\n")
    (person / "run.sh").chmod(0o755)
    plain_git(person, "add", "run.sh")
    plain_git(person, "commit", "--quiet", "-m", "run")
    update(mirrored, person)
    base = git.head_of(mirrored, "main")
    made = commit(mirrored, {"run.sh": b"#!/bin/sh\nexit\n", "app/main.py": None, "new/file": b"\xff\r\n"})
    before = {e.path: e for e in git.list_tree(mirrored, base)}
    after = {e.path: e for e in git.list_tree(mirrored, made)}
    assert after.keys() == {"run.sh", "requirements.txt", "new/file"}
    assert after["run.sh"].mode == "100755"
    assert after["requirements.txt"] == before["requirements.txt"]
    assert git.read_file(mirrored, made, "new/file") == b"\xff\r\n"


def test_a_change_that_changes_nothing_is_no_commit(mirrored):
    with refused(Reason.NOTHING_CHANGED):
        commit(mirrored, {"requirements.txt": PIN.encode()})


def test_a_branch_moves_only_from_where_it_was_seen(mirrored):
    base = git.head_of(mirrored, "main")
    one, two = commit(mirrored, {"a": b"1"}), commit(mirrored, {"a": b"2"})
    git.create_branch(mirrored, "immune/x", one, None)
    git.create_branch(mirrored, "immune/x", one, None)
    for expected in (None, base):
        with refused(Reason.MOVED):
            git.create_branch(mirrored, "immune/x", two, expected)
    with refused(Reason.NAME_TAKEN):
        git.create_branch(mirrored, "immune/x/y", two, None)
    git.create_branch(mirrored, "immune/x", two, one)
    assert git.head_of(mirrored, "immune/x") == two
    with refused(Reason.MOVED):
        git.delete_ref(mirrored, "refs/heads/immune/x", one)
    assert git.delete_ref(mirrored, "refs/heads/immune/x", two)
    assert not git.delete_ref(mirrored, "refs/heads/immune/x", two)


def test_references_move_together_or_not_at_all(mirrored):
    base = git.head_of(mirrored, "main")
    one = commit(mirrored, {"a": b"1"})
    with refused(Reason.MOVED):
        git.move_refs(mirrored, [git.RefMove("refs/heads/n", one, None), git.RefMove("refs/heads/main", one, one)])
    assert git.branches(mirrored) == {"main": base}


@pytest.mark.parametrize("squash", [True, False])
def test_a_merge_brings_the_change_and_keeps_what_happened_meanwhile(person, mirrored, squash):
    head = commit(mirrored, {"requirements.txt": b"# keep me\nrequests==2.32.0\n"})
    base = save(person, {"b.txt": "b"}, "meanwhile")
    update(mirrored, person)
    merge = git.merge_squash if squash else git.merge_commit
    made = merge(mirrored, "main", head, expected_base=base, message="fix", author=IMMUNE, when=NOON)
    assert git.head_of(mirrored, "main") == made
    assert git.parents_of(mirrored, made) == ((base,) if squash else (base, head))
    assert git.read_file(mirrored, made, "requirements.txt") == b"# keep me\nrequests==2.32.0\n"
    assert git.read_file(mirrored, made, "b.txt") == b"b"
    assert git.merge_base(mirrored, base, head) == git.parents_of(mirrored, head)[0]


def test_a_conflict_names_its_files_and_moves_nothing(person, mirrored):
    head = commit(mirrored, {"requirements.txt": b"# keep me\nrequests==2.32.0\n"})
    base = save(person, {"requirements.txt": "# keep me\nrequests==2.20.0\n"}, "meanwhile")
    update(mirrored, person)
    with refused(Reason.CONFLICT) as caught:
        git.merge_squash(mirrored, "main", head, expected_base=base, message="m", author=IMMUNE, when=NOON)
    assert caught.value.paths == ("requirements.txt",)
    assert git.head_of(mirrored, "main") == base


def test_a_merge_onto_a_base_that_moved_is_refused(person, mirrored):
    old = git.head_of(mirrored, "main")
    head = commit(mirrored, {"a": b"1"})
    save(person, {"b.txt": "b"}, "meanwhile")
    update(mirrored, person)
    with refused(Reason.MOVED):
        git.merge_squash(mirrored, "main", head, expected_base=old, message="m", author=IMMUNE, when=NOON)


def test_a_difference_is_shown_as_text_whatever_the_bytes(mirrored):
    base = git.head_of(mirrored, "main")
    made = commit(mirrored, {"requirements.txt": b"# keep me\nrequests==2.32.0\n", "odd.txt": b"caf\xe9\n"})
    shown = git.diff(mirrored, base, made)
    assert "-requests==2.19.0\n+requests==2.32.0" in shown
    assert "+caf\\xe9" in shown
    with refused(Reason.TOO_LARGE):
        git.diff(mirrored, base, made, max_bytes=10)


def test_a_merge_is_undone_as_a_change_like_any_other(person, mirrored):
    head = commit(mirrored, {"requirements.txt": b"requests==2.32.0\n", "new.txt": b"n", "app/main.py": None})
    base = git.head_of(mirrored, "main")
    merged = git.merge_squash(mirrored, "main", head, expected_base=base, message="m", author=IMMUNE, when=NOON)
    later = commit(mirrored, {"other.txt": b"o"}, base=merged)
    undone = commit(mirrored, git.reversal(mirrored, merged, later), base=later)
    assert git.changed_paths(mirrored, base, undone) == ("other.txt",)


def test_a_merge_whose_files_were_changed_again_is_not_undone_by_machine(mirrored):
    base = git.head_of(mirrored, "main")
    merged = commit(mirrored, {"requirements.txt": b"requests==2.32.0\n"})
    later = commit(mirrored, {"requirements.txt": b"requests==2.33.0\n"}, base=merged)
    with refused(Reason.CONFLICT) as caught:
        git.reversal(mirrored, merged, later)
    assert caught.value.paths == ("requirements.txt",)
    with refused(Reason.UNKNOWN_REF):
        git.reversal(mirrored, base, later)


# --- writing back


@pytest.fixture
def merged(person, mirrored):
    made = commit(mirrored, {"requirements.txt": b"# keep me\nrequests==2.32.0\n"})
    git.move_refs(mirrored, [git.RefMove("refs/heads/main", made, git.head_of(mirrored, "main"))])
    return made


def test_a_merge_is_written_back_to_a_clean_checkout_with_its_files(person, mirrored, merged):
    (person / "untracked.txt").write_text("mine")
    assert push_back(mirrored, person, "main")
    assert plain_git(person, "rev-parse", "main") == merged
    assert plain_git(person, "status", "--porcelain", "--untracked-files=no") == ""
    assert (person / "requirements.txt").read_text() == "# keep me\nrequests==2.32.0\n"
    assert (person / "untracked.txt").read_text() == "mine"
    assert not push_back(mirrored, person, "main")


def test_a_checkout_with_changes_is_never_touched(person, mirrored, merged):
    before = plain_git(person, "rev-parse", "main")
    (person / "app/main.py").write_text("work in progress")
    with refused(Reason.DIRTY):
        push_back(mirrored, person, "main")
    assert plain_git(person, "rev-parse", "main") == before
    assert (person / "app/main.py").read_text() == "work in progress"


def test_a_branch_with_commits_of_the_persons_own_is_never_moved(person, mirrored, merged):
    mine = save(person, {"mine.txt": "mine"}, "mine")
    with refused(Reason.MOVED):
        push_back(mirrored, person, "main")
    assert plain_git(person, "rev-parse", "main") == mine


def test_a_branch_that_is_not_checked_out_moves_beside_work_in_progress(person, mirrored, merged):
    plain_git(person, "checkout", "--quiet", "-b", "feature")
    (person / "app/main.py").write_text("work in progress")
    assert push_back(mirrored, person, "main")
    assert plain_git(person, "rev-parse", "main") == merged
    assert (person / "app/main.py").read_text() == "work in progress"
    assert (person / "requirements.txt").read_text() == PIN


def test_writing_back_runs_none_of_the_checkouts_hooks_and_refuses_its_filters(person, mirrored, merged, tmp_path):
    trap = tmp_path / "ran"
    hooks = person / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "post-merge", "reference-transaction", "pre-receive", "update", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {trap}\n")
        (hooks / name).chmod(0o755)
    assert push_back(mirrored, person, "main")
    assert not trap.exists()
    plain_git(person, "config", "filter.evil.smudge", f"touch {trap}; cat")
    plain_git(person, "reset", "--quiet", "--hard", "HEAD~1")
    trap.unlink(missing_ok=True)
    with refused(Reason.UNSUPPORTED):
        push_back(mirrored, person, "main")
    assert not trap.exists()


def test_a_bare_repository_takes_the_merge_too(person, mirrored, merged, tmp_path):
    bare = tmp_path / "bare.git"
    plain_git(tmp_path, "clone", "--quiet", "--bare", str(person), str(bare))
    assert push_back(mirrored, bare, "main")
    assert plain_git(bare, "rev-parse", "main") == merged


def test_two_processes_mirroring_at_once_leave_one_mirror(person, tmp_path):
    script = (
        "import sys; from pathlib import Path; from immune.git_mirror import mirror; from immune.git_process import *\n"
        "try: mirror(Path(sys.argv[1]), Path(sys.argv[2])); print('made')\n"
        "except GitError as e: print(e.reason.value)"
    )
    command = [sys.executable, "-c", script, str(person), str(tmp_path / "m.git")]
    root = Path(__file__).parents[2]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(4)]
    said = sorted(one.communicate(timeout=60)[0].strip() for one in running)
    assert said == ["exists", "exists", "exists", "made"]


# --- killed


def test_a_killed_git_says_nothing_about_the_repository(mirrored, tmp_path, monkeypatch):
    kill_git_once(tmp_path, monkeypatch, "ls-tree")
    with refused(Reason.KILLED) as caught:
        git.list_tree(mirrored, git.head_of(mirrored, "main"))
    assert caught.value.passing
    assert git.list_tree(mirrored, git.head_of(mirrored, "main"))


def _lock(mirrored: Mirror, age: float) -> Path:
    lock = mirrored.path / "refs" / "heads" / "side.lock"
    lock.touch()
    then = time.time() - age
    os.utime(lock, (then, then))
    return lock


def test_a_lock_that_a_killed_git_left_in_a_mirror_does_not_close_the_branch_for_ever(mirrored):
    lock = _lock(mirrored, STALE_LOCK_SECONDS + 60)
    git.create_branch(mirrored, "side", git.head_of(mirrored, "main"), None)
    assert "side" in git.branches(mirrored)
    assert not lock.exists()


def test_a_lock_somebody_may_hold_is_waited_for_and_is_not_a_moved_branch(mirrored):
    lock = _lock(mirrored, 1)
    with refused(Reason.LOCKED) as caught:
        git.create_branch(mirrored, "side", git.head_of(mirrored, "main"), None)
    assert caught.value.passing
    assert lock.exists()


def test_a_lock_in_a_persons_own_repository_is_never_removed(person):
    lock = person / ".git" / "refs" / "heads" / "side.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    with refused(Reason.LOCKED):
        run(["update-ref", "refs/heads/side", "HEAD"], git_dir=person / ".git")
    assert lock.exists()
    assert not (person / ".git" / "immune.turn").exists()
