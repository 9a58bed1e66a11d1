"""What to do with a batch that Kafka did not take: one table, by Kafka's own error codes."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from aiokafka import errors as driver

from streaming.errors import BrokerError, BrokerRefused, BrokerTimeout, BrokerUnavailable
from streaming.translation import translated


class Action(Enum):
    """What helps."""

    RETRY = "retry"
    """Time: the same batch again after a while."""
    RENEW = "renew"
    """A new producer, then the same batch."""
    OPERATOR = "operator"
    """A person: permissions, credentials, a policy, a topic that is not there."""
    POISON = "poison"
    """Nothing: a record in the batch is at fault."""


class BatchVerdict(NamedTuple):
    """An action; `certain_after` refusals in a row are needed before POISON is believed."""

    action: Action
    certain_after: int = 1


_RETRY = BatchVerdict(Action.RETRY)
_RENEW = BatchVerdict(Action.RENEW)
_OPERATOR = BatchVerdict(Action.OPERATOR)
_POISON = BatchVerdict(Action.POISON)
_ONCE_MORE = BatchVerdict(Action.POISON, 2)
_UNCLEAR = BatchVerdict(Action.POISON, 3)

BY_CODE: dict[int, BatchVerdict] = {
    -1: _UNCLEAR,  # unknown: the broker does not say, or says what the driver does not know
    2: _ONCE_MORE,  # corrupt message: a byte may have flipped on the way
    3: _RETRY,  # unknown topic or partition
    5: _RETRY,  # leader not available
    6: _RETRY,  # not leader
    7: _RETRY,  # request timed out
    8: _RETRY,  # broker not available
    9: _RETRY,  # replica not available
    10: _POISON,  # message too large
    13: _RETRY,  # network exception
    17: _OPERATOR,  # invalid topic
    18: _POISON,  # record list too large
    19: _RETRY,  # not enough replicas
    20: _RETRY,  # not enough replicas after append
    21: _OPERATOR,  # invalid required acks
    29: _OPERATOR,  # topic authorization failed
    31: _OPERATOR,  # cluster authorization failed
    32: _POISON,  # invalid timestamp
    33: _OPERATOR,  # unsupported SASL mechanism
    34: _OPERATOR,  # illegal SASL state
    35: _OPERATOR,  # unsupported version
    42: _OPERATOR,  # invalid request
    43: _OPERATOR,  # unsupported for message format
    44: _OPERATOR,  # policy violation
    45: _RENEW,  # out of order sequence number
    46: _RENEW,  # duplicate sequence number; the driver takes it for success
    47: _RENEW,  # invalid producer epoch
    49: _RENEW,  # invalid producer id mapping
    53: _OPERATOR,  # transactional id authorization failed
    54: _OPERATOR,  # security disabled
    56: _RETRY,  # storage error
    58: _OPERATOR,  # SASL authentication failed
    59: _RENEW,  # unknown producer id
    74: _RETRY,  # fenced leader epoch
    75: _RETRY,  # unknown leader epoch
    76: _OPERATOR,  # unsupported compression type
    87: _POISON,  # invalid record
    89: _RETRY,  # throttling quota exceeded
    90: _RENEW,  # producer fenced
}
"""A code that is not here is unclear."""

_WITHOUT_CODE: dict[type[BaseException], BatchVerdict] = {
    driver.ProducerFenced: _RENEW,
    driver.ProducerClosed: _RENEW,
    driver.AuthenticationFailedError: _OPERATOR,
    driver.AuthenticationMethodNotSupported: _OPERATOR,
    driver.IllegalOperation: _OPERATOR,
    driver.IncompatibleBrokerVersion: _OPERATOR,
    driver.UnrecognizedBrokerVersion: _OPERATOR,
    driver.UnsupportedCodecError: _OPERATOR,
}

SEQUENCE_GAP = 45


class BatchFailed(BrokerError):
    """A batch was not acknowledged.

    `may_be_in_log`: nobody knows whether Kafka has it. `lost_records`: the broker's log ends
    before records that it had acknowledged. `whole_cluster`: not this topic alone is affected.
    `leaf`: what it is in the words of `streaming.errors`; without it the verdict tells.
    """

    def __init__(
        self,
        verdict: BatchVerdict,
        reason: str,
        *,
        code: int | None = None,
        may_be_in_log: bool = False,
        lost_records: bool = False,
        whole_cluster: bool = False,
        leaf: type[BrokerError] | None = None,
    ) -> None:
        super().__init__(reason, code=code)
        self.verdict = verdict
        self.may_be_in_log = may_be_in_log
        self.lost_records = lost_records
        self.whole_cluster = whole_cluster
        self._leaf = leaf

    def as_leaf(self) -> BrokerError:
        """The same for who knows no batches: an error of `streaming.errors`."""
        leaf = self._leaf
        if leaf is None:
            if self.verdict.action in (Action.OPERATOR, Action.POISON):
                leaf = BrokerRefused
            else:
                leaf = BrokerTimeout if self.may_be_in_log else BrokerUnavailable
        return leaf(self.reason, code=self.code)


def verdict_on(error: BaseException) -> BatchVerdict:
    """What to do about an error of a batch."""
    for kind, verdict in _WITHOUT_CODE.items():
        if isinstance(error, kind):
            return verdict
    code = translated(error).code
    if code is not None:
        return BY_CODE.get(code, _UNCLEAR)
    return _RETRY


def failure_of(error: BaseException, *, may_be_in_log: bool) -> BatchFailed:
    """Our error for what the driver raised about one batch."""
    told = translated(error)
    return BatchFailed(
        verdict_on(error),
        told.reason,
        code=told.code,
        may_be_in_log=may_be_in_log,
        leaf=type(told),
    )


class FencedLeaderEpochError(driver.BrokerResponseError):
    errno = 74
    message = "FENCED_LEADER_EPOCH"
    description = "The leader epoch in the request is older than the one on the broker."
    retriable = True
    invalid_metadata = True


class InvalidRecordError(driver.BrokerResponseError):
    errno = 87
    message = "INVALID_RECORD"
    description = "The record has failed the validation on the broker."


class ThrottlingQuotaExceededError(driver.BrokerResponseError):
    errno = 89
    message = "THROTTLING_QUOTA_EXCEEDED"
    description = "The throttling quota has been exceeded."
    retriable = True


def teach_newer_codes() -> None:
    """Let aiokafka 0.14 know codes that a broker may answer a batch with.

    It loses the number of a code that it does not know, and with it what to do.
    """
    for error in (FencedLeaderEpochError, InvalidRecordError, ThrottlingQuotaExceededError):
        driver.kafka_errors.setdefault(error.errno, error)
