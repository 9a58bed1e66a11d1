from __future__ import annotations

import pytest

from pricing.stores.redis_client import connection_options, open_pool
from pricing.stores.redis_states import RedisConfig


@pytest.mark.parametrize("name", ["timeout_ms", "write_timeout_ms", "max_connections", "ttl_s"])
def test_redis_config_below_one_names_field_and_value(name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        RedisConfig(url="redis://127.0.0.1", **{name: 0})


@pytest.mark.parametrize(
    "url", ["", "http://hunter2@x", "redis://u:hunter2@host:port", "redis://:hunter2@h:99999/x"]
)
def test_redis_config_never_shows_a_bad_url(url):
    with pytest.raises(ValueError, match="url is none of") as caught:
        RedisConfig(url=url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_redis_config_hides_its_url():
    assert "hunter2" not in repr(RedisConfig(url="redis://:hunter2@127.0.0.1"))


@pytest.mark.parametrize(
    ("ours", "theirs"), [("valkey://h:1/2", "redis://h:1/2"), ("valkeys://h:1", "rediss://h:1")]
)
def test_valkey_url_means_the_redis_one(ours, theirs):
    assert connection_options(ours) == connection_options(theirs)


def test_options_in_the_url_never_win_over_ours():
    url = "redis://h/0?socket_timeout=20&retry_on_timeout=yes&max_connections=9&protocol=3"
    pool = open_pool(RedisConfig(url=url), timeout_ms=100, max_connections=4)
    options = pool.connection_kwargs
    assert pool.max_connections == 4
    assert options["socket_timeout"] == pytest.approx(0.15)
    assert options["protocol"] == 2
    assert pool.make_connection().retry.get_retries() == 0
