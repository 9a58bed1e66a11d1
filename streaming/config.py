"""How to reach Kafka and how its topics are laid out: frozen, checked when made."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    """Connection and topic facts that every producer and consumer shares.

    Raises `ValueError` naming the field and the bad value.
    """

    bootstrap_servers: str = "127.0.0.1:9092"
    """Comma-separated `host:port`."""
    client_id: str = "equilibrium"
    topic_prefix: str = "equilibrium."
    partitions: int = 6
    """Partitions of every topic; pinned, since it decides where a key lives."""
    replication: int = 1
    idempotence: bool = True
    """False only for brokers that cannot do it, such as the embedded one."""
    request_timeout_ms: int = 3_000
    """How long one request may take, and how long a dead connection stays unnoticed."""
    fetch_max_wait_ms: int = 500
    """How long the broker may hold a fetch that finds nothing. Apache Kafka answers at once when
    a record comes; the embedded broker only after this time, so it wants 20."""
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    def __post_init__(self) -> None:
        """Check every range."""
        _check("bootstrap_servers", self.bootstrap_servers, bool(self.bootstrap_servers.strip()))
        _check("partitions", self.partitions, 1 <= self.partitions <= 1_000)
        _check("replication", self.replication, 1 <= self.replication <= 32_767)
        _check("request_timeout_ms", self.request_timeout_ms, self.request_timeout_ms >= 100)
        _check("fetch_max_wait_ms", self.fetch_max_wait_ms, 1 <= self.fetch_max_wait_ms <= 10_000)
        protocols = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
        _check("security_protocol", self.security_protocol, self.security_protocol in protocols)
        if self.security_protocol.startswith("SASL"):
            _check("sasl_username", self.sasl_username, bool(self.sasl_username))
            if not self.sasl_password:
                raise ValueError("sasl_password is needed with SASL")


def _check(name: str, value: object, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{name}={value!r} is out of range")
