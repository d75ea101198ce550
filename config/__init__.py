"""Settings, addresses, servers and workers. Wires the apps together; holds no word of the domain.

The Celery app is imported here so that ``shared_task`` finds it in every process; without it tasks would be published to
Celery's default broker.
"""

from config.celery import app as celery_app

__all__ = ["celery_app"]
