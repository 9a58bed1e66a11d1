"""Each part's own configuration, out of the settings."""

from __future__ import annotations

from pricing.stores.postgres_client import DatabaseConfig
from pricing.stores.redis_client import RedisConfig
from pricing.surge.policy.windows import WindowConfig
from pricing.wiring.settings import Settings
from streaming.config import KafkaConfig


def kafka_config(settings: Settings) -> KafkaConfig:
    """Kafka's part of the settings."""
    password = settings.kafka_sasl_password
    return KafkaConfig(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        topic_prefix=settings.kafka_topic_prefix,
        partitions=settings.kafka_partitions,
        replication=settings.kafka_replication,
        idempotence=settings.kafka_idempotence,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        ca_file=str(settings.kafka_ca_file) if settings.kafka_ca_file else None,
    )


def database_config(settings: Settings) -> DatabaseConfig:
    """Postgres' part of the settings."""
    replica = settings.database_replica_url
    return DatabaseConfig(
        url=settings.database_url.get_secret_value(),
        replica_url=replica.get_secret_value() if replica else None,
        timeout_ms=settings.database_timeout_ms,
        max_in_flight=settings.database_max_in_flight,
    )


def redis_config(settings: Settings) -> RedisConfig:
    """Redis' part of the settings."""
    return RedisConfig(
        url=settings.redis_url.get_secret_value(), timeout_ms=settings.redis_timeout_ms
    )


def window_config(settings: Settings) -> WindowConfig:
    """The settings that change prices; each is part of the policy's version."""
    return WindowConfig(
        tick_ms=settings.tick_s * 1000,
        grace_ms=settings.grace_ms,
        demand_window_ms=settings.demand_window_s * 1000,
        supply_window_ms=settings.supply_window_s * 1000,
        supply_hold_after_ms=settings.supply_hold_after_s * 1000,
        supply_unknown_after_ms=settings.supply_unknown_after_s * 1000,
    )
