"""The servers and programs that tests talk to: real ones, found, started or installed; never skipped, never imitated.

`programs` finds or installs what a test needs on this machine; `private` starts servers of our own on free ports,
also for fault tests that kill them; `leases` hands one server to all processes of a test run and cleans up after it.
"""

from tests.servers.leases import Lease, database, lease, redis_database, vhost
from tests.servers.private import (
    PrivatePostgreSQL,
    PrivateRabbitMQ,
    PrivateRedis,
    PrivateServer,
    private_postgresql,
    private_rabbitmq,
    private_redis,
)
from tests.servers.programs import MissingError, program

__all__ = [
    "Lease",
    "MissingError",
    "PrivatePostgreSQL",
    "PrivateRabbitMQ",
    "PrivateRedis",
    "PrivateServer",
    "database",
    "lease",
    "private_postgresql",
    "private_rabbitmq",
    "private_redis",
    "program",
    "redis_database",
    "vhost",
]
