"""Names a repository uses and an upgrade takes away, with file and line."""

import gc
import sys
import threading

from wargaming.api_difference import Risk, public_api, risks, uses_of

OLD = {
    "pkg/__init__.py": "from .core import run, Thing\nVERSION = '1'\ntry:\n    import fast\nexcept ImportError:\n    fast = None\n",
    "pkg/core.py": "def run(): ...\ndef _hidden(): ...\nclass Thing:\n    def go(self): ...\n    limit = 3\n",
    "pkg/_private.py": "def inner(): ...\n",
}
NEW = {
    "pkg/__init__.py": "from .core import Thing\nVERSION = '2'\n",
    "pkg/core.py": "class Thing:\n    limit = 3\n",
}


def found(sources: dict[str, str], new: dict[str, str | None] = NEW) -> list[tuple[str, str, int]]:
    uses, _ = uses_of({"pkg"}, sources)
    return [(risk.name, risk.file, risk.line) for risk in risks(public_api(OLD), public_api(new), uses)]


def test_public_names_are_those_without_an_underscore_also_under_try_and_in_classes():
    names = public_api(OLD).names
    assert {"pkg.run", "pkg.VERSION", "pkg.fast", "pkg.core.Thing.go", "pkg.core.Thing.limit"} <= names
    assert not any("_hidden" in name or "_private" in name for name in names)


def test_a_removed_name_is_a_risk_where_it_is_used_and_only_there():
    sources = {
        "a.py": "import pkg\n\npkg.run()\npkg.VERSION\n",
        "b.py": "from pkg.core import run as r, Thing\nr()\nThing.go\nThing.limit\n",
        "c.py": "import other\nother.run()\n",
    }
    assert found(sources) == [
        ("pkg.run", "a.py", 3),
        ("pkg.core.run", "b.py", 1),
        ("pkg.core.Thing.go", "b.py", 3),
    ]


def test_an_alias_of_the_module_is_followed():
    assert found({"a.py": "import pkg.core as c\nc.run\n"}) == [("pkg.core.run", "a.py", 2)]


def test_a_module_that_makes_names_when_asked_is_not_said_to_lack_them():
    new = {"pkg/__init__.py": "def __getattr__(name): ...\n", "pkg/core.py": None}
    uses, _ = uses_of({"pkg"}, {"a.py": "import pkg\npkg.run()\n"})
    assert risks(public_api(OLD), public_api(new), uses) == (Risk("pkg.run", "a.py", 2, sure=False),)


def test_a_removed_module_is_a_risk():
    assert ("pkg.core", "a.py", 1) in found({"a.py": "import pkg.core\n"}, {"pkg/__init__.py": ""})


def test_a_file_that_cannot_be_read_is_named_not_taken_as_empty():
    assert uses_of({"pkg"}, {"bad.py": "def (", "good.py": ""})[1] == ("bad.py",)
    assert public_api({"pkg/__init__.py": "def ("}).unclear == {"pkg"}


class Rubbish:
    """A cycle whose finalizer runs Python code, which lets another thread in wherever it is collected."""

    def __init__(self):
        self.me = self

    def __del__(self):
        for _ in range(50):
            pass


def test_wargames_side_by_side_read_the_same_names():
    source = "class A:\n    def f(self, a):\n        return [" + "(" * 40 + "a" + ")" * 40 + " for b in {1: 2}]\n"
    read, failed = [], []

    def look():
        try:
            for _ in range(15):
                _ = [Rubbish() for _ in range(500)]
                read.append(public_api({"pkg/__init__.py": source * 200}))
        except SystemError as error:
            failed.append(error)

    often, pause = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(200)
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=look) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.set_threshold(*often)
        sys.setswitchinterval(pause)
    assert not failed
    assert set(read) == {public_api({"pkg/__init__.py": source})}
