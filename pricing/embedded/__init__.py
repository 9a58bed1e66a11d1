"""Real servers on this machine without Docker: PostgreSQL, Valkey and a Kafka broker.

The application never knows: it gets addresses (`EmbeddedStack.environment`) like any others.
"""

from __future__ import annotations

from pricing.embedded.apache_kafka import ApacheKafka
from pricing.embedded.command import run_stack
from pricing.embedded.directories import default_cache_dir, default_data_dir
from pricing.embedded.ports import free_ports
from pricing.embedded.postgres import Postgres
from pricing.embedded.server import Server
from pricing.embedded.stack import Broker, EmbeddedStack, StackConfig
from pricing.embedded.tansu import Tansu
from pricing.embedded.valkey import Valkey

__all__ = [
    "ApacheKafka",
    "Broker",
    "EmbeddedStack",
    "Postgres",
    "Server",
    "StackConfig",
    "Tansu",
    "Valkey",
    "default_cache_dir",
    "default_data_dir",
    "free_ports",
    "run_stack",
]
