"""The Celery app: queues by cost and trust, late acknowledgement, no results (results live in our tables).

Messages are wake-ups; the database says what is to be done. So the embedded profile's in-memory broker may forget everything
and production's quorum queues may deliver twice: neither changes an outcome.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("immune")
# The current app is kept per thread; without a default, a thread that did not import this module would publish to Celery's own
# fallback, an app for a broker on localhost.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
