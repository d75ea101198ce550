"""Fixtures of immune's tests."""

import os

from hypothesis import settings

from tests.worlds import new_world

__all__ = ["new_world"]

# A busy machine is no failure, and a build is not the place to roll new dice.
settings.register_profile("immune", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("immune")
