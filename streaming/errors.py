"""Every error that this package raises on purpose.

    StreamingError
    ├── InvalidMessage           a record that cannot be read, or an event that cannot be written
    ├── UnreadableRecord         bytes that are no packed record (`events.packing`)
    └── BrokerError              Kafka did not do its part (catch this one)
        ├── BrokerUnavailable        not reachable, or not able just now; nothing was done
        │   ├── TopicMissing             no such topic yet; a dead broker can look the same
        │   └── ProducerFull             our own bound on unacknowledged bytes is reached
        ├── BrokerTimeout            no answer within the deadline; the outcome is unknown
        │   └── PublishTimeout           some events were not acknowledged; names them
        ├── BrokerRefused            the broker said no: an operator or the code must act
        │   └── AccessRefused            credentials or permissions
        ├── MembershipLost           the partition belongs to another member of the group by now
        ├── InstanceFenced           another process runs under the same instance id
        ├── SequenceBroken           the producer's numbering has a gap; only a new producer helps
        └── BatchFailed              of a whole batch, with what helps (`producing.batch_errors`)

aiokafka's errors are mapped to these leaves in one place, `streaming.translation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Reason = Literal[
    "not_json",
    "not_an_object",
    "missing_attribute",
    "bad_attribute",
    "unknown_type",
    "unexpected_type",
    "newer_version",
    "bad_payload",
    "too_large",
    "unparsable",
]
"""Why a message is unusable: a bounded set, fit for a metric's label."""

_DETAIL_CHARS_AT_MOST = 200


class StreamingError(Exception):
    """Base of this package's errors."""


class InvalidMessage(StreamingError):
    """A record that cannot be read, or an event that cannot be written.

    `detail` is for people: at most 200 characters, and none of the payload's values.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        detail = detail[:_DETAIL_CHARS_AT_MOST]
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class BrokerError(StreamingError):
    """Kafka did not do its part.

    `reason` is a constant text that is safe to log: no address, no key, no password.
    `code` is Kafka's own error number where the broker gave one.
    """

    def __init__(self, reason: str, *, code: int | None = None) -> None:
        super().__init__(reason if code is None else f"{reason} (Kafka error {code})")
        self.reason = reason
        self.code = code


class BrokerUnavailable(BrokerError):
    """The broker cannot be reached, or cannot do it just now. Nothing was done."""


class TopicMissing(BrokerUnavailable):
    """No such topic as far as this client can see."""


class ProducerFull(BrokerUnavailable):
    """Too many bytes wait for their acknowledgement already. Nothing was sent."""


class BrokerTimeout(BrokerError):
    """No answer within the deadline; whether the work was done is unknown."""


class PublishTimeout(BrokerTimeout):
    """Kafka did not acknowledge everything; what is not acknowledged may be in the log or not.

    `unacknowledged` holds the positions, within the call, of the events to send again.
    """

    def __init__(self, reason: str, unacknowledged: Sequence[int]) -> None:
        super().__init__(reason)
        self.unacknowledged = tuple(unacknowledged)


class BrokerRefused(BrokerError):
    """The broker answered and refused: too large, bad configuration, an unsupported request."""


class AccessRefused(BrokerRefused):
    """Wrong credentials, or no permission for this topic, group or cluster."""


class MembershipLost(BrokerError):
    """The group moved on without this member; what it holds may have another owner."""


class InstanceFenced(BrokerError):
    """Another process joined the group under this `instance_id`; this one must end."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"another process runs with instance id {instance_id!r}")
        self.instance_id = instance_id


class SequenceBroken(BrokerError):
    """An idempotent producer's numbering does not fit the broker's any more."""
