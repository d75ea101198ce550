"""The product's settings for the processes of a game: a forge that goes wrong, and leases short enough to see them run out.

Nothing else differs from production; ``tests.chaos.apps`` holds both differences.
"""

import os

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.apps.ChaosConfig"]

CHAOS_FOLDER = os.environ["CHAOS_FOLDER"]
CHAOS_SEED = int(os.environ["CHAOS_SEED"])
CHAOS_FAULT_RATE = float(os.environ["CHAOS_FAULT_RATE"])
CHAOS_LEASE_SECONDS = float(os.environ["CHAOS_LEASE_SECONDS"])
