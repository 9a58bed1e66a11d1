"""How a partition's lane of the spool is named: `<topic>/<partition>`. Pure."""

from __future__ import annotations


def lane_of(topic: str, partition: int) -> bytes:
    """The lane of a partition; `topic` is the full name."""
    return f"{topic}/{partition}".encode()


def place_of(lane: bytes) -> tuple[str, int]:
    """Topic and partition of a lane. Raises `ValueError` for a name that `lane_of` did not make."""
    topic, _, partition = lane.decode().rpartition("/")
    return topic, int(partition)


def topic_of(lane: bytes) -> str:
    """The topic of a lane, whatever its name is."""
    return lane.rpartition(b"/")[0].decode(errors="replace")
