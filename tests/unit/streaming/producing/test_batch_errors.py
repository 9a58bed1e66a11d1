"""Kafka's codes and what is done about each."""

from __future__ import annotations

import pytest
from aiokafka import errors as driver

from streaming.producing.batch_errors import (
    BY_CODE,
    Action,
    failure_of,
    teach_newer_codes,
    verdict_on,
)

WANTED = {
    Action.RETRY: {3, 5, 6, 7, 8, 9, 13, 19, 20, 56, 74, 75, 89},
    Action.RENEW: {45, 46, 47, 49, 59, 90},
    Action.OPERATOR: {17, 21, 29, 31, 33, 34, 35, 42, 43, 44, 53, 54, 58, 76},
    Action.POISON: {-1, 2, 10, 18, 32, 87},
}


@pytest.mark.parametrize(
    ("code", "action"), [(code, action) for action, codes in WANTED.items() for code in codes]
)
def test_code_asks_for_its_action(code, action):
    assert BY_CODE[code].action is action


def test_table_holds_no_other_code():
    assert set(BY_CODE) == set.union(*WANTED.values())


@pytest.mark.parametrize(("code", "times"), [(-1, 3), (2, 2), (10, 1), (87, 1)])
def test_unclear_refusal_has_to_come_again_before_it_is_believed(code, times):
    assert BY_CODE[code].certain_after == times


@pytest.mark.parametrize("code", sorted(set(BY_CODE) - {-1}))
def test_driver_keeps_the_number_of_every_code_in_the_table(code):
    teach_newer_codes()
    unknown_to_it = {75, 76, 90}
    error = driver.for_code(code)
    assert (error.errno == code) == (code not in unknown_to_it)
    if code not in unknown_to_it:
        assert (
            failure_of(error("topic") if code == 29 else error(), may_be_in_log=True).code == code
        )


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (driver.KafkaConnectionError(), Action.RETRY),
        (driver.NodeNotReadyError(), Action.RETRY),
        (driver.RequestTimedOutError(), Action.RETRY),
        (driver.KafkaTimeoutError(), Action.RETRY),
        (driver.ProducerFenced(), Action.RENEW),
        (driver.ProducerClosed(), Action.RENEW),
        (driver.AuthenticationFailedError(), Action.OPERATOR),
        (driver.UnknownError(), Action.POISON),
        (TimeoutError(), Action.RETRY),
        (ConnectionResetError(), Action.RETRY),
    ],
)
def test_error_of_the_driver_asks_for_its_action(error, action):
    assert verdict_on(error).action is action


def test_code_that_nobody_knows_is_unclear():
    class Strange(driver.BrokerResponseError):
        errno = 12_345

    assert verdict_on(Strange()) == BY_CODE[-1]


def test_codes_that_the_driver_repeats_by_itself_ask_for_a_retry():
    teach_newer_codes()
    repeated = {code for code, error in driver.kafka_errors.items() if error.retriable}
    for code in repeated & set(BY_CODE):
        assert BY_CODE[code].action is Action.RETRY
