"""What a spool may use, and when it waits: frozen, checked when made."""

from __future__ import annotations

from dataclasses import dataclass

from fallback.config_check import check_field

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """Every parameter of one spool.

    Raises `ValueError` naming the field and the bad value.
    """

    segment_bytes: int = 16 * MIB
    """Size of a segment file. Start-up reads one segment; space is freed by whole segments."""
    quota_bytes: int = 4096 * MIB
    """Greatest total of the files. Segments leave half of one free, for rewriting one."""
    free_floor_bytes: int = 256 * MIB
    """The spool takes no new segment that would leave the volume less free space."""
    warn_percent: int = 70
    shed_percent: int = 90
    """From here on, `relaxed` entries are refused."""
    relaxed_sync_ms: int = 100
    """A power cut loses at most this much of what was acknowledged `relaxed`."""
    unsynced_bytes: int = 4 * MIB
    """More unsynced bytes than this are synced at once: they are kept in memory until then."""
    cursor_interval_ms: int = 10
    """Acknowledgements are written at most this often; a kill repeats deliveries that recent."""
    cursor_sync_ms: int = 1_000
    """The same, for fsync and a power cut."""
    pending_records: int = 10_000
    pending_bytes: int = 8 * MIB
    """What may wait in memory for its commit."""
    entry_bytes: int = 1_000_000
    """Greatest body of one entry."""
    lanes: int = 1_000
    """Greatest number of lanes."""
    lookahead_bytes: int = 16 * MIB
    """What is read ahead for all lanes together, shared evenly."""
    lane_lookahead_bytes: int = 64 * 1024
    """Each lane may hold this much, however many there are."""
    read_bytes: int = 256 * 1024
    """Size of one read from a segment. The index tells places half of it apart."""
    quarantine_bytes: int = 16 * MIB
    """Greatest total of damaged spans that are kept; further ones are only counted."""
    retry_after_s: float = 1.0
    """What a refused caller is told to wait."""
    close_timeout_s: float = 10.0
    """How long `close` waits for a disk that does not answer."""

    def __post_init__(self) -> None:
        """Check every range."""
        check_field(self, "segment_bytes", 1024 <= self.segment_bytes <= 1024 * MIB)
        check_field(self, "quota_bytes", self.quota_bytes >= 3 * self.segment_bytes)
        check_field(self, "free_floor_bytes", self.free_floor_bytes >= 0)
        check_field(self, "warn_percent", 0 < self.warn_percent <= self.shed_percent)
        check_field(self, "shed_percent", self.shed_percent <= 100)
        positive = (
            "relaxed_sync_ms",
            "unsynced_bytes",
            "cursor_sync_ms",
            "pending_records",
            "pending_bytes",
            "entry_bytes",
            "lanes",
            "lookahead_bytes",
            "lane_lookahead_bytes",
            "read_bytes",
            "retry_after_s",
            "close_timeout_s",
        )
        for name in positive:
            check_field(self, name, getattr(self, name) > 0)
        for name in ("cursor_interval_ms", "quarantine_bytes"):
            check_field(self, name, getattr(self, name) >= 0)
