"""How near a repository's code comes to a package: what its last reading found, and what the installed package adds to that."""

from types import SimpleNamespace

import pytest

from immune.models import APV
from immune.priority import Reachability
from immune.reachability.judging import Reach
from wargaming.environments.spec import EnvironmentSpec
from wargaming.home import Home

ZIPP = EnvironmentSpec("PyPI", ("zipp==3.19.1",))
NO_PLACE = None  # nothing is asked of a driver, a folder or a forge here


def home(workshop, sources):
    found = Home(SimpleNamespace(ecosystem="PyPI"), ZIPP, ZIPP, NO_PLACE, workshop, NO_PLACE, lambda: False)
    found.__dict__["sources"] = sources
    return found


def apv(said):
    return APV(package_name="zipp", priority_factors=[{"name": "reachability", "value": said, "points": 0}])


@pytest.mark.parametrize("value", [value for value in Reachability if value is not Reachability.UNKNOWN])
def test_what_the_reading_found_counts(value):
    assert home(None, {"a.py": "import zipp"}).reachability(apv(f"{value} (a.py)")) == Reach(value, "a.py")


def test_what_it_did_not_know_is_potential_where_a_file_imports_what_the_package_brings(workshop):
    unknown = apv("unknown (by which name it is imported is not known)")
    assert home(workshop, {"b.py": "from zipp import Path"}).reachability(unknown) == Reach(
        Reachability.POTENTIAL, "b.py"
    )
    assert home(workshop, {"b.py": "import os"}).reachability(unknown).value is Reachability.UNKNOWN
    assert home(None, {}).reachability(APV()).value is Reachability.UNKNOWN
