import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immune.formats import limits
from immune.formats.requirements_txt import parse
from immune.inventory import Inventory, Origin, Scope, Unreadable

from .corpus import expected, files, needs_data, no_files, read, samples


def inventory(text: str, reader=no_files) -> Inventory:
    return parse(text, path="requirements.txt", read=reader)


def only(text: str):
    found = inventory(text)
    assert found.refused == ()
    (dependency,) = found.dependencies
    return dependency


@needs_data
@pytest.mark.parametrize("entry", expected("requirements"), ids=lambda e: e["file"].rsplit("/", 1)[1])
def test_real_files_hold_what_independent_readers_found(entry):
    found = parse(read(entry["file"]), path=entry["file"], read=read)
    got = [
        (d.name, d.version, d.line, d.extras, len(d.hashes), d.origin is not Origin.REGISTRY, d.marker)
        for d in found.dependencies
    ]
    want = [
        (
            p["name"],
            p.get("version"),
            p["line"],
            tuple(p.get("extras", ())),
            p.get("hashes", 0),
            p.get("not_registry", False),
            p.get("marker", ""),
        )
        for p in entry["packages"]
    ]
    assert got == want
    assert found.refused == ()


@needs_data
@pytest.mark.parametrize("path", samples("requirements", "edge"))
def test_every_edge_file_is_read_or_its_parts_refused_with_file_and_line(path):
    found = parse(read(path), path=path, read=read)
    assert found.dependencies or found.refused
    for refusal in found.refused:
        file, _, line = refusal.source.rpartition(":")
        assert file.startswith("manifests/requirements/edge/")
        assert int(line) >= 1
        assert refusal.reason


def test_an_exact_pin_gives_the_version_as_written():
    found = only("Django_Thing == 1.2-alpha  # why")
    assert (found.name, found.raw_name, found.version) == ("django-thing", "Django_Thing", "1.2-alpha")
    assert (found.ecosystem, found.manifest, found.line, found.direct) == ("PyPI", "requirements.txt", 1, True)


def test_arbitrary_equality_is_a_pin():
    assert only("yolo===1.0").version == "1.0"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("django", "no version given"),
        ("django>=3", "not pinned: >=3"),
        ("django==3.*", "not pinned: ==3.*"),
        ("django~=3.1", "not pinned: ~=3.1"),
        ("django==3.1,==3.2", "contradicts itself"),
        ("django==3.1,>=4", "contradicts itself"),
        ("django==${VERSION}", "depends on the environment variable VERSION"),
        ("django @ https://example.org/django.zip", "comes from an address"),
    ],
)
def test_what_is_not_pinned_is_unresolved_with_its_reason(line, reason):
    found = inventory(line)
    assert found.refused == ()
    assert [d.name for d in found.unresolved] == ["django"]
    assert reason in found.unresolved[0].reason


def test_a_pin_beside_a_range_it_meets_is_a_pin():
    assert only("django==3.1,>=3").version == "3.1"


@pytest.mark.parametrize(
    "line", ["django==", "==1.0", "django 1.0", "django==1.0 extra words", "django==1..0", "dj ango"]
)
def test_a_pin_that_does_not_parse_is_refused_with_file_and_line_and_the_rest_is_taken(line):
    found = inventory(f"six==1.16.0\n{line}\nidna==3.4\n")
    assert [d.name for d in found.dependencies] == ["six", "idna"]
    assert [r.source for r in found.refused] == ["requirements.txt:2"]
    assert "not a requirement" in found.refused[0].reason


def test_extras_markers_and_hashes_are_kept():
    digest = "a" * 64
    found = only(
        'celery[redis,pytest]==5.0 ; python_version < "3.9" \\\n'
        f"    --hash=sha256:{digest} \\\n    --hash sha512:{'b' * 128}\n"
    )
    assert found.extras == ("pytest", "redis")
    assert found.marker == 'python_version < "3.9"'
    assert found.hashes == (f"sha256:{digest}", f"sha512:{'b' * 128}")
    assert found.version == "5.0"


def test_a_malformed_hash_is_said_and_the_version_still_known():
    found = inventory("six==1.0 --hash=sha256:123")
    assert [(d.version, d.hashes) for d in found.dependencies] == [("1.0", ())]
    assert "malformed hash" in found.refused[0].reason


@pytest.mark.parametrize(
    ("line", "name", "origin"),
    [
        ("git+https://example.org/x.git@main#egg=My_Package", "my-package", Origin.GIT),
        ("-e git+ssh://git@example.org/x.git#egg=thing[a]", "thing", Origin.GIT),
        ("--editable=git+https://example.org/x.git#egg=thing&subdirectory=a", "thing", Origin.GIT),
        ("thing @ git+https://example.org/x.git@v1", "thing", Origin.GIT),
        ("https://example.org/thing-1.0-py3-none-any.whl", "thing", Origin.URL),
        ("https://example.org/thing-1.0.tar.gz ; python_version < '3'", "thing", Origin.URL),
        ("./wheels/thing-1.0-py3-none-any.whl", "thing", Origin.PATH),
        ("wheels/thing-1.0.tar.gz", "thing", Origin.PATH),
        ("file:///srv/thing-1.0.tar.gz", "thing", Origin.PATH),
        ("thing @ file:///srv/thing", "thing", Origin.PATH),
    ],
)
def test_what_does_not_come_from_the_index_has_no_version_to_match(line, name, origin):
    found = only(line)
    assert (found.name, found.version, found.origin) == (name, None, origin)
    assert found.reason


@pytest.mark.parametrize("line", ["-e .", "-e ./lib[extra]", ".", "./lib"])
def test_the_project_itself_is_noted_not_a_dependency(line):
    found = inventory(line)
    assert (found.dependencies, found.refused) == ((), ())
    assert [note.kind for note in found.notes] == ["path"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("--index-url https://index.example/simple", "index"),
        ("-i https://index.example/simple", "index"),
        ("--extra-index-url=https://index.example/simple", "index"),
        ("-f ./wheels", "index"),
        ("--find-links https://index.example", "index"),
        ("--trusted-host index.example", "index"),
        ("--no-index", "index"),
        ("--no-binary :all:", "source-build"),
        ("--pre", "option"),
        ("--require-hashes", "option"),
    ],
)
def test_options_that_change_where_packages_come_from_are_noted(line, kind):
    found = inventory(f"{line}\nsix==1.0\n")
    assert found.refused == ()
    assert [(n.kind, n.source) for n in found.notes] == [(kind, "requirements.txt:1")]
    assert len(found.dependencies) == 1


def test_an_unknown_option_is_refused():
    found = inventory("--no-such-option x\nsix==1.0")
    assert [r.source for r in found.refused] == ["requirements.txt:1"]
    assert len(found.dependencies) == 1


def test_credentials_in_addresses_are_not_carried_on():
    text = (
        "--index-url https://me:hunter2@index.example/simple\n"
        "x @ https://tok3n@example.org/x.zip\nhttps://me:hunter2@example.org/\n"
    )
    assert "hunter2" not in repr(inventory(text))
    assert "tok3n" not in repr(inventory(text))


def test_an_included_file_counts_under_its_own_path():
    found = inventory("-r base.txt\nsix==1.0\n", files(base__txt="idna==3.4\n"))
    assert [(d.name, d.manifest, d.line) for d in found.dependencies] == [
        ("idna", "base.txt", 1),
        ("six", "requirements.txt", 2),
    ]


def test_an_include_is_relative_to_the_file_that_asks():
    def reader(path: str) -> str:
        return {"deps/base.txt": "-r more.txt", "deps/more.txt": "six==1.0"}[path]

    found = parse("-r ../deps/base.txt", path="app/requirements.txt", read=reader)
    assert [(d.name, d.manifest) for d in found.dependencies] == [("six", "deps/more.txt")]


def test_a_file_included_twice_is_read_once():
    reader = files(a__txt="-r c.txt", b__txt="-r c.txt", c__txt="six==1.0")
    assert len(inventory("-r a.txt\n-r b.txt", reader).dependencies) == 1


def test_a_loop_of_includes_ends_and_is_said():
    reader = files(a__txt="-r b.txt\nsix==1.0", b__txt="-r a.txt\nidna==3.4")
    found = inventory("-r a.txt", reader)
    assert {d.name for d in found.dependencies} == {"six", "idna"}
    assert [r.source for r in found.refused] == ["b.txt:1"]
    assert "includes itself" in found.refused[0].reason


@pytest.mark.parametrize(
    "target",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "~/x.txt",
        "https://example.org/r.txt",
        "file:///etc/passwd",
        "C:\\x.txt",
        "..\\..\\x.txt",
        "${HOME}/x.txt",
    ],
)
def test_an_include_out_of_the_tree_is_refused_and_never_read(target):
    def reader(path: str) -> str:
        raise AssertionError(f"read {path}")

    found = parse(f"-r '{target}'\nsix==1.0", path="app/requirements.txt", read=reader)
    assert [r.source for r in found.refused] == ["app/requirements.txt:1"]
    assert len(found.dependencies) == 1


def test_an_include_that_is_absent_is_refused():
    found = inventory("-r gone.txt\nsix==1.0")
    assert "gone.txt" in found.refused[0].reason
    assert len(found.dependencies) == 1


def test_too_many_includes_are_refused_in_bounded_time():
    def reader(path: str) -> str:
        depth = int(path.removeprefix("f").removesuffix(".txt"))
        return f"-r f{depth * 2}.txt\n-r f{depth * 2 + 1}.txt"

    assert any("included files" in r.reason or "nested" in r.reason for r in inventory("-r f1.txt", reader).refused)


def test_a_constraint_resolves_a_requirement_without_a_pin_where_the_pin_stands():
    found = inventory("-c constraints.txt\ndjango[argon2]>=3\n", files(constraints__txt="# locked\ndjango==3.2.1\n"))
    (django,) = found.dependencies
    assert (django.version, django.manifest, django.line, django.direct) == ("3.2.1", "constraints.txt", 2, True)
    assert django.extras == ("argon2",)


def test_a_constraint_nobody_requires_is_optional_and_not_direct():
    found = inventory("-c constraints.txt\ndjango==3.2.1\n", files(constraints__txt="asgiref==3.4\nidna>=3\n"))
    assert [(d.name, d.version, d.scope, d.direct, d.groups) for d in found.dependencies] == [
        ("django", "3.2.1", Scope.UNKNOWN, True, ()),
        ("asgiref", "3.4", Scope.OPTIONAL, False, ("constraint",)),
    ]


def test_a_pin_is_not_overruled_by_a_constraint():
    found = inventory("-c constraints.txt\ndjango==3.2.1\n", files(constraints__txt="django==3.2.9\n"))
    assert [d.version for d in found.dependencies] == ["3.2.1"]


def test_continued_lines_and_comments_follow_pip():
    found = inventory("a==1.0 \\\n  # comment ends it\nb==2.0 # x\n\\\nc==3.0\nd#e==1\n")
    assert [(d.name, d.version, d.line) for d in found.dependencies] == [
        ("a", "1.0", 1),
        ("b", "2.0", 3),
        ("c", "3.0", 4),
    ]
    assert [r.source for r in found.refused] == ["requirements.txt:6"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_ending_counts_lines_alike(end):
    assert [d.line for d in inventory(end.join(["a==1", "", "b==2"])).dependencies] == [1, 3]


def test_a_byte_order_mark_is_skipped():
    assert only("\ufeffsix==1.0").name == "six"


@pytest.mark.parametrize("text", ["six==1.0\0", "x" * (limits.MAX_CHARACTERS + 1)])
def test_what_is_no_text_or_too_large_is_unreadable(text):
    with pytest.raises(Unreadable):
        inventory(text)


@pytest.mark.parametrize(
    "line",
    [
        "six; " + "(" * 5000 + "python_version<'3'" + ")" * 5000,
        "six; " + "(" * 20000,
        "six==" + "1" * 5000,
        "six==1" + " " * 500_000 + "x",
        "x" * 10_000_000,
        "six " + "\\\n" * 100_000,
        "six==1.0 --hash='" + "a" * 10_000,
        "-r " + "a/" * 400_000,
    ],
)
def test_hostile_lines_are_refused_in_bounded_time(line):
    began = time.monotonic()
    found = inventory(f"{line}\nsix==1.0\n")
    assert time.monotonic() - began < 20  # seconds; far above what it takes, far below a hang
    assert len(found.dependencies) + len(found.refused) >= 1


_piece = st.one_of(
    st.sampled_from(
        ["six", "==", "===", "1.0", ">=", " ", "\\\n", "\n", "\r\n", "#", ";", "[", "]", "(", ")",
         "-r ", "-c ", "-e ", "--hash=",
         "sha256:",
         "${X}", "@", "git+https://h/x#egg=y", "./", "'", '"', "python_version", "<", ",", "!", "-", "*",
         "\ufeff", "a.txt"]
    ),
    st.text(max_size=5),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(_piece, max_size=25).map("".join))
def test_any_text_is_an_inventory_or_unreadable(text):
    try:
        found = inventory(text, files(a__txt="six==1.0\n-r requirements.txt"))
    except Unreadable:
        return
    for dependency in found.dependencies:
        assert dependency.name
        assert (dependency.version is None) == bool(dependency.reason)


@pytest.mark.parametrize("junk", ["<script>alert(1)</script>", "foo/bar baz"])
def test_a_line_is_not_taken_for_a_path_for_its_slash_alone(junk):
    found = parse(junk + "\n", path="requirements.txt", read=lambda place: "")
    assert [one.source for one in found.refused] == ["requirements.txt:1"]
    assert "neither a requirement nor a path" in found.refused[0].reason
    assert not found.notes
