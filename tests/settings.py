"""The product's settings as tests run them: an environment of the run's own, real files, cheap passwords."""

import os

from tests import environment

environment.prepare()

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASES, WORK_DIR  # noqa: E402

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, not memory: only a file has the write-ahead log and the locking that the product lives with.
    DATABASES["default"]["TEST"] = {"NAME": str(WORK_DIR / "tests.sqlite3")}

# Every client of a test builds the middleware anew, and WhiteNoise's then reads the state of each static file: more than half of
# what a request cost. So it looks when asked, as Django's own server does; processes that tests start look once, as the product does.
WHITENOISE_AUTOREFRESH = True

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Processes that tests start run the product's own settings, not these; the environment made above reaches them.
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
