from __future__ import annotations

import pytest

from pricing.stores.postgres_states import DatabaseConfig

URL = "postgresql://user:hunter2@127.0.0.1/db"


@pytest.mark.parametrize(
    "name", ["timeout_ms", "write_timeout_ms", "max_in_flight", "snapshot_retention_days"]
)
def test_database_config_below_one_names_field_and_value(name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        DatabaseConfig(url=URL, **{name: 0})


@pytest.mark.parametrize("value", [0, 501])
def test_statement_timeout_outside_the_deadline_is_refused(value):
    with pytest.raises(ValueError, match=f"statement_timeout_ms={value}"):
        DatabaseConfig(url=URL, statement_timeout_ms=value)


@pytest.mark.parametrize(("timeout_ms", "server_ms"), [(1, 1), (100, 80), (500, 400)])
def test_server_gives_up_before_the_client_by_default(timeout_ms, server_ms):
    assert DatabaseConfig(url=URL, timeout_ms=timeout_ms).server_timeout_ms == server_ms


@pytest.mark.parametrize("name", ["url", "replica_url"])
def test_database_config_never_shows_a_bad_url(name):
    with pytest.raises(ValueError, match=f"{name} must begin with postgresql://") as caught:
        DatabaseConfig(**{"url": URL, name: "mysql://user:hunter2@h/db"})
    assert "hunter2" not in str(caught.value)


def test_database_config_hides_its_urls():
    assert "hunter2" not in repr(DatabaseConfig(url=URL, replica_url=URL))
