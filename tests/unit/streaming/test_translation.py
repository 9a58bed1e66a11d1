"""aiokafka's errors in our words."""

from __future__ import annotations

import inspect

import pytest
from aiokafka import errors as driver

from streaming.errors import (
    AccessRefused,
    BrokerError,
    BrokerRefused,
    BrokerTimeout,
    BrokerUnavailable,
    MembershipLost,
    SequenceBroken,
    TopicMissing,
)
from streaming.translation import MAPPING, translated, translating

ALL = [
    error
    for _, error in inspect.getmembers(driver, inspect.isclass)
    if issubclass(error, BaseException)
]


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_of_the_driver_is_mapped_by_itself(error):
    assert issubclass(MAPPING[error], BrokerError)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_retriable_errors_of_the_driver_call_for_another_attempt(error):
    if getattr(error, "retriable", False):
        assert issubclass(MAPPING[error], BrokerUnavailable | BrokerTimeout)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (driver.KafkaConnectionError("127.0.0.1:9092"), BrokerUnavailable),
        (driver.NodeNotReadyError(), BrokerUnavailable),
        (driver.LeaderNotAvailableError(), BrokerUnavailable),
        (driver.UnknownTopicOrPartitionError(), TopicMissing),
        (driver.KafkaTimeoutError(), BrokerTimeout),
        (driver.RequestTimedOutError(), BrokerTimeout),
        (driver.MessageSizeTooLargeError(), BrokerRefused),
        (driver.UnknownError(), BrokerRefused),
        (driver.TopicAuthorizationFailedError("secret"), AccessRefused),
        (driver.SaslAuthenticationFailed(), AccessRefused),
        (driver.CommitFailedError(), MembershipLost),
        (driver.IllegalStateError(), MembershipLost),
        (driver.OutOfOrderSequenceNumber(), SequenceBroken),
        (driver.ProducerFenced(), SequenceBroken),
        (driver.IllegalOperation(), BrokerRefused),
        (TimeoutError(), BrokerTimeout),
        (ConnectionRefusedError(111, "127.0.0.1"), BrokerUnavailable),
        (ValueError("strange"), BrokerRefused),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_translation_picks_the_leaf(error, wanted):
    assert type(translated(error)) is wanted


def test_translation_keeps_the_code_and_no_address():
    error = translated(driver.TopicAuthorizationFailedError("topic at 10.0.0.1"))
    assert error.code == 29
    assert error.reason == "topic authorization failed"
    assert "10.0" not in str(error)


def test_translation_of_a_class_that_is_new_follows_its_base():
    class Brandnew(driver.KafkaConnectionError):
        pass

    assert type(translated(Brandnew())) is BrokerUnavailable


def test_translation_of_our_own_error_changes_nothing():
    error = BrokerRefused("no")
    assert translated(error) is error


def test_translating_raises_ours_from_theirs():
    theirs = driver.NodeNotReadyError()
    with pytest.raises(BrokerUnavailable) as caught, translating():
        raise theirs
    assert caught.value.__cause__ is theirs


def test_translating_lets_other_errors_pass():
    with pytest.raises(KeyError), translating():
        raise KeyError
