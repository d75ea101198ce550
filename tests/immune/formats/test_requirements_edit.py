import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immune.formats.requirements_edit import CannotEdit, change_pin, diff
from immune.formats.requirements_txt import parse
from immune.inventory import Origin

from .corpus import DATA, needs_data, no_files, read, samples

OLD, NEW = "a" * 64, "b" * 64


def edit(text: str, hashes=None) -> str:
    return change_pin(text, name="django", from_version="3.2.1", to_version="3.2.25", hashes=hashes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("django==3.2.1\n", "django==3.2.25\n"),
        ("Django == 3.2.1  # keep 3.2.1\n", "Django == 3.2.25  # keep 3.2.1\n"),
        ("django===3.2.1", "django===3.2.25"),
        ("# django==3.2.1\ndjango==3.2.1\r\nsix==3.2.1\r\n", "# django==3.2.1\ndjango==3.2.25\r\nsix==3.2.1\r\n"),
        ('django[argon2]==3.2.1 ; python_version == "3.2.1"\n', 'django[argon2]==3.2.25 ; python_version == "3.2.1"\n'),
        ("django (==3.2.1)\n", "django (==3.2.25)\n"),
        ("django>=3.2,==3.2.1,<4\n", "django>=3.2,==3.2.25,<4\n"),
        ("django \\\n  == 3.2.1\n", "django \\\n  == 3.2.25\n"),
        ("\ufeffdjango==3.2.1\n", "\ufeffdjango==3.2.25\n"),
        ("\tdjango==3.2.1\t\n", "\tdjango==3.2.25\t\n"),
        ("django==3.2.1.0\n", "django==3.2.25\n"),
    ],
)
def test_only_the_version_changes(before, after):
    assert edit(before) == after


def test_every_pin_at_that_version_changes_and_others_stay():
    before = (
        "django==3.2.1; python_version<'3.9'\n"
        "django==4.1; python_version>='3.9'\n"
        "django==3.2.1; sys_platform=='win32'\n"
    )
    assert edit(before) == before.replace("==3.2.1", "==3.2.25")


def test_a_longer_version_or_name_is_not_mistaken_for_it():
    before = "django==3.2.1\ndjango-x==3.2.1\nx-django==3.2.1\n"
    assert edit(before) == "django==3.2.25\ndjango-x==3.2.1\nx-django==3.2.1\n"
    with pytest.raises(CannotEdit):
        edit("django==3.2.10\ndjango==3.2.1rc1\n")


@pytest.mark.parametrize(
    "before",
    ["", "django\n", "django>=3.2.1\n", "django==3.2.*\n", "django==${V}\n", "django @ https://e.example/3.2.1.zip\n"],
)
def test_no_pin_at_that_version_is_said(before):
    with pytest.raises(CannotEdit, match="no pin of django"):
        edit(before)


def test_another_clause_of_the_line_that_forbids_the_target_is_said():
    with pytest.raises(CannotEdit, match="also asks for"):
        edit("django==3.2.1,<3.2.20\n")


def test_a_version_split_over_two_lines_is_left_alone():
    with pytest.raises(CannotEdit, match="split"):
        edit("django==3.2\\\n.1\n")


@pytest.mark.parametrize(
    "target", ["", "latest", "1.0\n--index-url https://evil.example", "1.0 --pre", "1.0;x", " 1.0", "1.0 "]
)
def test_nothing_but_a_version_can_be_written(target):
    with pytest.raises(CannotEdit):
        change_pin("django==3.2.1\n", name="django", from_version="3.2.1", to_version=target)


@pytest.mark.parametrize("digest", ["", "b" * 63, "b" * 64 + " --pre", "md5:" + "b" * 32, "B" * 64 + "\n"])
def test_nothing_but_digests_can_be_written(digest):
    with pytest.raises(CannotEdit, match="SHA-256"):
        edit(f"django==3.2.1 --hash=sha256:{OLD}\n", [digest])


def test_a_pin_with_hashes_needs_the_new_ones():
    with pytest.raises(CannotEdit, match="hashes"):
        edit(f"django==3.2.1 --hash=sha256:{OLD}\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            f"django==3.2.1 --hash=sha256:{OLD}  # why\n",
            f"django==3.2.25 --hash=sha256:{NEW} --hash=sha256:{'c' * 64}  # why\n",
        ),
        (
            "django==3.2.1" + f" \\\r\n    --hash=sha256:{OLD}" * 3 + "\r\n    # via x\r\n",
            f"django==3.2.25 \\\r\n    --hash=sha256:{NEW} \\\r\n    --hash=sha256:{'c' * 64}\r\n    # via x\r\n",
        ),
        (
            f"django==3.2.1 \\\n  --hash sha256:{OLD}\nsix==1.0",
            f"django==3.2.25 \\\n  --hash sha256:{NEW} \\\n  --hash sha256:{'c' * 64}\nsix==1.0",
        ),
    ],
)
def test_hashes_are_replaced_in_their_own_layout(before, after):
    assert edit(before, [NEW, f"sha256:{'c' * 64}"]) == after


def test_hashes_given_for_a_pin_without_any_are_not_added():
    assert edit("django==3.2.1\n", [NEW]) == "django==3.2.25\n"


def test_other_options_between_hashes_are_not_guessed_at():
    with pytest.raises(CannotEdit, match="options"):
        edit(f"django==3.2.1 --hash=sha256:{OLD} --config-settings=a --hash=sha256:{OLD}\n", [NEW])


# --- properties -----------------------------------------------------------------------------------------------


def facts(text: str) -> list[tuple]:
    found = parse(text, path="requirements.txt", read=no_files)
    return [(d.name, d.version, d.line, d.extras, d.marker, d.origin, d.hashes) for d in found.dependencies]


@needs_data
@pytest.mark.parametrize("path", samples("requirements") + samples("requirements", "edge"))
def test_editing_any_pin_of_a_real_file_changes_that_version_and_nothing_else(path):
    text = read(path)
    before = facts(text)
    pins = parse(text, path=path, read=no_files).dependencies
    for pin in pins[:: max(1, len(pins) // 15)]:  # of a long file, fifteen pins spread over it
        if pin.version is None or pin.origin is not Origin.REGISTRY or any(c in pin.requirement for c in "${"):
            continue
        hashed = "--hash" in text
        after = change_pin(
            text, name=pin.name, from_version=pin.version, to_version="99.0", hashes=[NEW] if hashed else None
        )
        expected = [
            (d[0], "99.0", *d[2:6], (f"sha256:{NEW}",) if d[6] else ())
            if (d[0], d[1]) == (pin.name, pin.version)
            else d
            for d in before
        ]
        if not hashed:
            assert facts(after) == expected
            assert len(after) == len(text) + sum(
                len("99.0") - len(d[1]) for d in before if (d[0], d[1]) == (pin.name, pin.version)
            )
        else:  # fewer hash lines move the lines below
            assert [(d[:2], d[3:6]) for d in facts(after)] == [(d[:2], d[3:6]) for d in expected]


_name = st.sampled_from(["django", "Django", "six", "django-x", "idna"])
_version = st.sampled_from(["3.2.1", "3.2.10", "1.0", "3.2.1rc1", "2!3.2.1"])
_line = st.builds(
    "{}{}{}{}{}{}".format,
    _name,
    st.sampled_from(["", "[a]", " [a, b] "]),
    st.sampled_from(["==", " == ", "===", ">="]),
    _version,
    st.sampled_from(["", " ; python_version == '3.2.1'", ";sys_platform=='win32'"]),
    st.sampled_from(["", "  # django==3.2.1", " \\\n"]),
)
_file = st.lists(st.one_of(_line, st.sampled_from(["", "# x", "--pre", "   "])), max_size=8).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n"]).map(lambda end: end.join(lines))
)


@settings(max_examples=150, deadline=None)
@given(_file)
def test_an_edit_changes_the_pinned_version_and_every_other_byte_is_equal(text):
    before = facts(text)
    pins = [d for d in before if (d[0], d[1]) == ("django", "3.2.1")]
    if not pins:
        with pytest.raises(CannotEdit):
            edit(text)
        return
    after = edit(text)
    assert facts(after) == [(d[0], "3.2.25", *d[2:]) if d in pins else d for d in before]
    # taking the edit back gives the first text, byte for byte, where the new version was not there before
    assert change_pin(after, name="django", from_version="3.2.25", to_version="3.2.1") == text


# --- diff -----------------------------------------------------------------------------------------------------


def test_an_unchanged_file_has_no_diff():
    assert diff("requirements.txt", "a\n", "a\n") == ""


def test_a_diff_has_gits_headers():
    assert diff("requirements.txt", "a==1\nb==1\n", "a==2\nb==1\n") == (
        "diff --git a/requirements.txt b/requirements.txt\n--- a/requirements.txt\n+++ b/requirements.txt\n"
        "@@ -1,2 +1,2 @@\n-a==1\n+a==2\n b==1\n"
    )


@pytest.mark.parametrize(
    "path", ["requirements.txt", "a b/requirements.txt", "á/requirements.txt", 'q"/requirements.txt', "t\tb.txt"]
)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a==1\n", "a==2\n"),
        ("a==1", "a==2"),
        ("a\r\nb\r\n", "a\r\nc\r\n"),
        ("a\x0cb\na==1\n", "a\x0cb\na==2\n"),
        ("a\n", "a"),
        ("x\n" * 50 + "a", "x\n" * 50 + "b\n"),
    ],
)
def test_git_applies_the_diff_exactly(tmp_path, path, before, after):
    place = tmp_path / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(before.encode())
    env = {"PATH": "/usr/bin:/bin", "GIT_CEILING_DIRECTORIES": str(tmp_path.parent), "HOME": str(tmp_path)}
    run = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", "-"],
        cwd=tmp_path,
        input=diff(path, before, after).encode(),
        env=env,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert place.read_bytes() == after.encode()


@needs_data
def test_the_diff_of_a_large_file_is_made_in_bounded_time():
    text = (DATA / "manifests/requirements/warehouse-2020-05.main.txt").read_text()
    after = change_pin(text, name="urllib3", from_version="1.25.9", to_version="1.26.19", hashes=[NEW])
    assert diff("requirements/main.txt", text, after).count("\n@@") == 1
