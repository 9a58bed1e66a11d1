"""Reading what was done, over connections that break: again where the mode admits a retry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fallback.guards.retry import Retry, RetryBudget, RetryPolicy
from pricing.errors import DependencyRefused, DependencyUnavailable
from pricing.stores.migrate import migrate
from pricing.stores.operations import PostgresOperations
from pricing.stores.postgres_client import DatabaseConfig
from tests.support.grid_city import grid_zones
from tests.support.servers import through
from tests.support.tcp_proxy import Reply, TcpProxy


@pytest.fixture(scope="module")
async def config(module_database_url) -> DatabaseConfig:
    config = DatabaseConfig(url=module_database_url)
    await migrate(config, grid_zones(5), timeout_s=20)
    return config


@pytest.fixture
async def proxy(postgres) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def proxied(config, proxy) -> DatabaseConfig:
    return replace(config, url=through(config.url, proxy))


def retrying(share: float) -> Retry:
    return Retry(
        "database",
        RetryPolicy(attempts=2, initial_wait_s=0.01),
        RetryBudget(share=lambda: share),
        is_passing=lambda error: isinstance(error, DependencyUnavailable),
    )


async def test_broken_connection_costs_a_retry_only(proxied, proxy):
    async with PostgresOperations(proxied, retry=retrying(0.1)) as operations:
        await operations.audit(10)
        proxy.next_reply = Reply.HALF_THEN_RESET
        assert (await operations.audit(10)).rows == []
        assert proxy.next_reply is None


@pytest.mark.parametrize("retry", [None, retrying(0)], ids=["never", "not in this mode"])
async def test_without_a_retry_the_error_comes_out(proxied, proxy, retry):
    async with PostgresOperations(proxied, retry=retry) as operations:
        await operations.audit(10)
        proxy.next_reply = Reply.HALF_THEN_RESET
        with pytest.raises(DependencyUnavailable):
            await operations.audit(10)


async def test_refusal_is_not_tried_again(config):
    retry = retrying(0.1)
    wrong = DatabaseConfig(url=config.url.replace("equilibrium:", "nobody:"))
    async with PostgresOperations(wrong, retry=retry) as operations:
        with pytest.raises(DependencyRefused):
            await operations.mode_events(10)
    assert retry.budget.balance == pytest.approx(30.1)
