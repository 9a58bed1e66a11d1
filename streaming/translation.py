"""From aiokafka's errors to ours: the only place that knows both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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

_UNAVAILABLE = (
    driver.KafkaError,
    driver.NoBrokersAvailable,
    driver.NodeNotReadyError,
    driver.KafkaProtocolError,
    driver.CorrelationIdError,
    driver.Cancelled,
    driver.TooManyInFlightRequests,
    driver.StaleMetadata,
    driver.MetadataEmptyBrokerList,
    driver.KafkaUnavailableError,
    driver.KafkaConnectionError,
    driver.QuotaViolationError,
    driver.ConsumerStoppedError,
    driver.ProducerClosed,
    driver.LeaderNotAvailableError,
    driver.NotLeaderForPartitionError,
    driver.BrokerNotAvailableError,
    driver.ReplicaNotAvailableError,
    driver.StaleControllerEpochError,
    driver.StaleLeaderEpochCodeError,
    driver.GroupLoadInProgressError,
    driver.GroupCoordinatorNotAvailableError,
    driver.NotCoordinatorForGroupError,
    driver.NotEnoughReplicasError,
    driver.NotControllerError,
    driver.TransactionCoordinatorFenced,
    driver.OperationNotAttempted,
    driver.KafkaStorageError,
    driver.LogDirNotFound,
    driver.ReassignmentInProgress,
    driver.FetchSessionIdNotFound,
    driver.InvalidFetchSessionEpoch,
    driver.ListenerNotFound,
)
_TIMEOUT = (
    driver.KafkaTimeoutError,
    driver.RequestTimedOutError,
    driver.NotEnoughReplicasAfterAppendError,
)
_TOPIC_MISSING = (driver.UnknownTopicOrPartitionError,)
_ACCESS = (
    driver.AuthenticationMethodNotSupported,
    driver.AuthenticationFailedError,
    driver.TopicAuthorizationFailedError,
    driver.GroupAuthorizationFailedError,
    driver.ClusterAuthorizationFailedError,
    driver.UnsupportedSaslMechanismError,
    driver.IllegalSaslStateError,
    driver.TransactionalIdAuthorizationFailed,
    driver.SecurityDisabled,
    driver.SaslAuthenticationFailed,
    driver.DelegationTokenAuthDisabled,
    driver.DelegationTokenNotFound,
    driver.DelegationTokenOwnerMismatch,
    driver.DelegationTokenRequestNotAllowed,
    driver.DelegationTokenAuthorizationFailed,
    driver.DelegationTokenExpired,
    driver.InvalidPrincipalType,
)
_MEMBERSHIP = (
    driver.IllegalStateError,
    driver.CommitFailedError,
    driver.IllegalGenerationError,
    driver.UnknownMemberIdError,
    driver.RebalanceInProgressError,
    driver.MemberIdRequired,
    driver.NonEmptyGroup,
    driver.GroupIdNotFound,
)
_SEQUENCE = (
    driver.ProducerFenced,
    driver.OutOfOrderSequenceNumber,
    driver.DuplicateSequenceNumber,
    driver.InvalidProducerEpoch,
    driver.InvalidProducerIdMapping,
    driver.UnknownProducerId,
)
_REFUSED = (
    driver.IllegalArgumentError,
    driver.IllegalOperation,
    driver.UnrecognizedBrokerVersion,
    driver.IncompatibleBrokerVersion,
    driver.UnsupportedCodecError,
    driver.KafkaConfigurationError,
    driver.NoOffsetForPartitionError,
    driver.RecordTooLargeError,
    driver.BrokerResponseError,
    driver.NoError,
    driver.UnknownError,
    driver.OffsetOutOfRangeError,
    driver.CorruptRecordException,
    driver.InvalidFetchRequestError,
    driver.MessageSizeTooLargeError,
    driver.OffsetMetadataTooLargeError,
    driver.InvalidTopicError,
    driver.RecordListTooLargeError,
    driver.InvalidRequiredAcksError,
    driver.InconsistentGroupProtocolError,
    driver.InvalidGroupIdError,
    driver.InvalidSessionTimeoutError,
    driver.InvalidCommitOffsetSizeError,
    driver.InvalidTimestampError,
    driver.UnsupportedVersionError,
    driver.TopicAlreadyExistsError,
    driver.InvalidPartitionsError,
    driver.InvalidReplicationFactorError,
    driver.InvalidReplicationAssignmentError,
    driver.InvalidConfigurationError,
    driver.InvalidRequestError,
    driver.UnsupportedForMessageFormatError,
    driver.PolicyViolationError,
    driver.InvalidTxnState,
    driver.InvalidTransactionTimeout,
    driver.ConcurrentTransactions,
)

MAPPING: dict[type[BaseException], type[BrokerError]] = {
    theirs: ours
    for ours, group in (
        (BrokerUnavailable, _UNAVAILABLE),
        (BrokerTimeout, _TIMEOUT),
        (TopicMissing, _TOPIC_MISSING),
        (AccessRefused, _ACCESS),
        (MembershipLost, _MEMBERSHIP),
        (SequenceBroken, _SEQUENCE),
        (BrokerRefused, _REFUSED),
    )
    for theirs in group
}
"""Every class of `aiokafka.errors`, by itself: a new one is noticed by a test."""

DRIVER_ERRORS = (
    driver.KafkaError,
    driver.IllegalOperation,
    driver.ConsumerStoppedError,
    TimeoutError,
    OSError,
)
"""What a call into aiokafka may raise."""


def translated(error: BaseException) -> BrokerError:
    """Our error for one that aiokafka, the event loop or the socket raised.

    A number that aiokafka does not know arrives as its `UnknownError`; the code is lost then.
    """
    if isinstance(error, BrokerError):
        return error
    if isinstance(error, TimeoutError):  # an OSError too, so it comes first
        return BrokerTimeout("no answer within the deadline")
    if isinstance(error, OSError):
        return BrokerUnavailable(f"connection failed: {type(error).__name__}")
    leaf = next((MAPPING[base] for base in type(error).__mro__ if base in MAPPING), BrokerRefused)
    code = error.errno if isinstance(error, driver.BrokerResponseError) else None
    return leaf(_words(type(error).__name__), code=code)


@contextmanager
def translating() -> Iterator[None]:
    """Raises our error in place of a driver's; every call into aiokafka stands in one."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translated(error) from error


def _words(name: str) -> str:
    """`NotLeaderForPartitionError` → `not leader for partition`."""
    stem = name.removesuffix("Error").removesuffix("Exception") or name
    return "".join(f" {char.lower()}" if char.isupper() else char for char in stem).strip()
