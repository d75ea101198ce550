"""Log set-up: structlog over the standard library, one line an event; fixed event names plus ids."""

from __future__ import annotations

import logging
from typing import Any

import structlog

SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]


class WithoutTraceback(logging.Filter):
    """For what a stranger can cause at will: one line says it, and a page of ours would only fill the disk."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


def configure(level: str, style: str) -> dict[str, Any]:
    """Configures structlog and returns Django's LOGGING. ``style`` is console or json; everything goes to stderr."""
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer = structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structlog": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
                "foreign_pre_chain": SHARED,
            }
        },
        "filters": {"without_traceback": {"()": WithoutTraceback}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structlog"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.server": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
            "django.security.DisallowedHost": {"level": "WARNING", "filters": ["without_traceback"]},
            "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
            "celery": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
            "kombu": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
            # A line for each request to an index would hide what the readings say.
            "httpx": {"level": "WARNING"},
        },
    }
