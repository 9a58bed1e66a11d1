"""The only reader of the environment: every setting, typed, checked, described.

`load_settings` gives a frozen `Settings`; each part gets its own frozen configuration from it,
so no part knows the environment or another part's settings. What a value must be like stands in
`settings_checks`, how settings are shown in `settings_report`.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from fallback.breaker import PROFILES, parse_breaker
from pricing.wiring.settings_checks import (
    SCHEMES,
    check_hosts,
    check_loopback,
    check_url,
    check_windows,
    dependency_names,
)

PREFIX = "EQUILIBRIUM_"
API_KEY = f"{PREFIX}API_KEY"
"""What a client of the service shows; no setting of the service."""

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Port = Annotated[int, Field(ge=1, le=65_535)]


class SettingsError(Exception):
    """A wrong setting. The message is one line that names the setting and the bad value."""


class Settings(BaseSettings):
    """Every setting of the service. The environment variable is the name in capitals, prefixed."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
    )

    profile: Literal["production", "development", "testing"] = Field(
        "production", description="`development` also reads a `.env` file in the working directory."
    )
    database_url: SecretStr = Field(
        SecretStr("postgresql://equilibrium@127.0.0.1:5432/equilibrium"),
        description="Postgres, as a URL.",
    )
    database_replica_url: SecretStr | None = Field(
        None, description="A read replica of it, asked for prices when the primary fails."
    )
    database_timeout_ms: Milliseconds = Field(
        500, description="Deadline of a price read at Postgres."
    )
    database_max_in_flight: int = Field(
        20, ge=1, le=1_000, description="Queries at once per process; one more is refused."
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Redis or Valkey, as a URL."
    )
    redis_timeout_ms: Milliseconds = Field(100, description="Deadline of a price read at Redis.")
    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092", min_length=1, description="Comma-separated `host:port`."
    )
    kafka_idempotence: bool = Field(
        True, description="Off only for brokers that cannot do it, such as the embedded one."
    )
    kafka_topic_prefix: str = Field(
        "equilibrium.", pattern=r"^[A-Za-z0-9._-]*$", description="Put before every topic name."
    )
    kafka_partitions: int = Field(
        6, ge=1, le=1_000, description="Partitions of every topic; pinned, for keys live by it."
    )
    kafka_replication: int = Field(1, ge=1, le=100, description="Replicas of every topic.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to speak to the brokers."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="Needed with SASL."
    )
    kafka_sasl_username: str | None = Field(None, description="Needed with SASL.")
    kafka_sasl_password: SecretStr | None = Field(None, description="Needed with SASL.")
    kafka_ca_file: Path | None = Field(None, description="PEM file that signs the brokers.")
    http_host: str = Field("127.0.0.1", min_length=1, description="Address that the API binds.")
    http_port: Port = Field(8000, description="Port that the API binds.")
    http_max_body_bytes: int = Field(
        1_048_576, ge=1_024, le=67_108_864, description="A larger request body gets 413."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Comma-separated origins that browsers may call from; none by default."
    )
    state_dir: Path = Field(
        Path("/var/lib/equilibrium"), description="What a process keeps on its own disk."
    )
    zones_file: Path | None = Field(
        None, description="Catalogue of zones; the shipped one (New York) by default."
    )
    policy_file: Path | None = Field(None, description="Surge policy; the shipped one by default.")
    memo_ms: Annotated[int, Field(ge=0, le=60_000)] = Field(
        250, description="A price read from a store answers for so long; 0: every read asks."
    )
    price_deadline_ms: Milliseconds = Field(
        650, description="Deadline of a whole price read, over every store that it asks."
    )
    stale_refresh_s: Annotated[float, Field(gt=0, le=3_600)] = Field(
        3.0, description="How often every zone's last known price is read anew."
    )
    breaker_redis: str = Field(
        "redis",
        description="Circuit breaker of Redis: a profile, then fields that differ, as in "
        "`redis,window_s=10,buckets=20`. Profiles: " + ", ".join(PROFILES) + ".",
    )
    breaker_database: str = Field("database", description="Circuit breaker of Postgres.")
    breaker_kafka: str = Field("kafka", description="Circuit breaker of Kafka's readers.")
    breaker_auth: str = Field(
        "auth", description="Circuit breaker of key servers: none is asked yet."
    )
    breaker_alert: str = Field(
        "alert", description="Circuit breaker of alert channels: there are none yet."
    )
    publish_wait_ms: Milliseconds = Field(
        50, description="How long an ingest request waits for Kafka before it says `buffered`."
    )
    spool_quota_bytes: int | None = Field(
        None,
        ge=50_331_648,
        description="Most that the spool may take on the disk; by default a quarter of what is "
        "free at the start, at most 4 GiB.",
    )
    spool_free_floor_bytes: int = Field(
        268_435_456, ge=0, description="The spool does not grow below so much free space."
    )
    replay_events_per_s: int = Field(
        20_000, ge=1, le=10_000_000, description="Events a second that the spool sends to Kafka."
    )
    tick_s: Annotated[int, Field(ge=1, le=60)] = Field(
        5, description="Distance of two states of a zone."
    )
    grace_ms: Annotated[int, Field(ge=0, le=60_000)] = Field(
        250, description="How late an event may arrive and still count at its tick."
    )
    demand_window_s: Annotated[int, Field(ge=1, le=3_600)] = Field(
        300, description="Ride requests this recent are demand."
    )
    supply_window_s: Annotated[int, Field(ge=1, le=3_600)] = Field(
        60, description="A driver heard from this recently is supply."
    )
    supply_hold_after_s: Annotated[int, Field(ge=1, le=3_600)] = Field(
        20, description="A city without heartbeats for so long keeps its supply as it was."
    )
    supply_unknown_after_s: Annotated[int, Field(ge=1, le=86_400)] = Field(
        180, description="A city without heartbeats for so long has no known supply."
    )
    processor_instance: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Name of this processor in its consumer group; the host name by default. "
        "The same name after a restart takes the same partitions back at once.",
    )
    kafka_static_membership: bool = Field(
        True, description="Off only for brokers that do not honour it, such as the embedded one."
    )
    kafka_session_timeout_ms: Annotated[int, Field(ge=2_000, le=300_000)] = Field(
        10_000, description="A processor that is silent for so long loses its partitions."
    )
    processor_port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        0, description="Port of the processor's own /health and /metrics; 0: none."
    )
    readiness_requires: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Comma-separated of redis, database, kafka: not ready without them."
    )
    auth: Literal["keys", "open"] = Field(
        "keys",
        description="Who may call. `keys`: who shows an API key; `open`: everybody, so only on a "
        "loopback address. The embedded stack and the demonstration are open.",
    )
    auth_open_anywhere: bool = Field(
        False, description="Allows `AUTH=open` on an address that is not loopback."
    )
    keys_file: Path | None = Field(
        None, description="API keys, hashed; `keys.json` in `STATE_DIR` by default."
    )
    instance: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="Name of this API process in the fleet; host name and port by default.",
    )
    mode_up_dwell_s: Annotated[float, Field(gt=0, le=600)] = Field(
        3, description="The mode gets worse once an input stood so long at a worse level."
    )
    mode_down_dwell_s: Annotated[float, Field(ge=1, le=3_600)] = Field(
        60, description="The mode gets better by one level once all was better for so long."
    )
    log_price_reads: bool = Field(
        False,
        description="Whether each read of prices gets a log line; failed ones always do.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level that is logged."
    )
    log_format: Literal["json", "console"] = Field("json", description="Form of a log line.")

    @property
    def instance_name(self) -> str:
        """How this API process is known to the others."""
        host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:50]
        return self.instance or f"{host}-{self.http_port}"

    @property
    def keys_path(self) -> Path:
        """Where the API keys are."""
        return self.keys_file or self.state_dir / "keys.json"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over `.env`, and `.env` in the development profile only."""
        del dotenv_settings, file_secret_settings
        if os.environ.get(f"{PREFIX}PROFILE") != "development":
            return (init_settings, env_settings)
        return (init_settings, env_settings, DotEnvSettingsSource(settings_cls, env_file=".env"))

    @field_validator("cors_origins", "readiness_requires", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("readiness_requires")
    @classmethod
    def _known_dependencies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return dependency_names(value)

    @field_validator(
        "breaker_redis", "breaker_database", "breaker_kafka", "breaker_auth", "breaker_alert"
    )
    @classmethod
    def _is_breaker(cls, value: str) -> str:
        parse_breaker(value)
        return value

    @field_validator("database_url", "database_replica_url", "redis_url")
    @classmethod
    def _right_url(cls, value: SecretStr | None, info: Any) -> SecretStr | None:
        if value is not None:
            check_url(value.get_secret_value(), SCHEMES[info.field_name])
        return value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _hosts_with_ports(cls, value: str) -> str:
        check_hosts(value)
        return value

    @field_validator("kafka_ca_file")
    @classmethod
    def _readable_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("no such file")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        check_windows(
            tick_s=self.tick_s,
            grace_ms=self.grace_ms,
            hold_after_s=self.supply_hold_after_s,
            unknown_after_s=self.supply_unknown_after_s,
        )
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError("EQUILIBRIUM_KAFKA_SASL_USERNAME and _PASSWORD are needed with SASL")
        if self.auth == "open" and not self.auth_open_anywhere:
            check_loopback(self.http_host)
        return self


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `overrides` (from the command line) win over it.

    Raises `SettingsError` for the first wrong value.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type] # checked by the model itself
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return reason
    name = str(first["loc"][0])
    is_secret = "SecretStr" in str(Settings.model_fields[name].annotation)
    shown = "(secret)" if is_secret else repr(first["input"])
    return f"{PREFIX}{name.upper()}={shown}: {reason}"
