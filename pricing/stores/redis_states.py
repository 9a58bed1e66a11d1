"""Redis: the newest state of every zone, one hash a zone, written by one script."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, cast

import structlog
from redis import exceptions as driver
from redis.asyncio import Redis

from pricing.errors import DependencyUnavailable
from pricing.model import ZoneState
from pricing.stores.redis_client import RedisConfig, ask, bounded, open_pool, word
from pricing.stores.zone_hash import FIELDS, decode, encode

__all__ = ["RedisConfig", "RedisStates"]

_log = structlog.get_logger(__name__)

_READ_CHUNK = 500
"""Zones a pipeline: decoding more in one go would hold the event loop for over 10 ms."""
_WRITE_CHUNK = 250
"""Zones a script call: more would hold the server, and with it every reader, for over 3 ms."""
_WRITE_CONNECTIONS = 4
"""Writes have a pool of their own, so that slow ones never use up the readers'."""
_LOG_EVERY_S = 60.0

# Versions are epoch ms, which Lua's doubles hold exactly. A stored version that is no such number
# and a key that is no hash were not written by us, and give way.
_WRITE_SCRIPT = """
local ttl, width, accepted = ARGV[1], tonumber(ARGV[2]), 0
for zone, key in ipairs(KEYS) do
  local before = 2 + width * zone
  local stored = redis.pcall('HGET', key, 'version')
  if type(stored) == 'table' then
    redis.call('DEL', key)
    stored = false
  end
  local is_ours = stored and #stored < 16 and string.match(stored, '^%d+$')
  if not is_ours or tonumber(stored) < tonumber(ARGV[before + 1]) then
    local fields = {}
    for i = 1, width do
      fields[2 * i - 1] = ARGV[2 + i]
      fields[2 * i] = ARGV[before + i]
    end
    redis.call('HSET', key, unpack(fields))
    redis.call('EXPIRE', key, ttl)
    accepted = accepted + 1
  end
end
return accepted
"""
_WRITE_SHA = hashlib.sha1(_WRITE_SCRIPT.encode(), usedforsecurity=False).hexdigest()

# A whole read as one command: over ten times cheaper for this process than as many replies. A key
# that is no hash gives its error in its own place.
_READ_SCRIPT = """
local hashes = {}
for at, key in ipairs(KEYS) do hashes[at] = redis.pcall('HGETALL', key) end
return hashes
"""
_READ_SHA = hashlib.sha1(_READ_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_READ_BY_SHA = (word("EVALSHA_RO"), word(_READ_SHA))
_READ_BY_TEXT = (word("EVAL_RO"), word(_READ_SCRIPT))

_KEPT_REPLIES = 20_000
"""Zones whose last reply is remembered; a catalogue that is larger costs decoding, not memory."""

_packed_key = functools.lru_cache(_KEPT_REPLIES)(word)

_Row = tuple[str, tuple[str, ...]]
"""A key and the values of `FIELDS`."""


class RedisStates:
    """Zone states in Redis: a `StateCache`.

    An async context manager that owns its connections. Entering does no I/O, so a process starts
    with Redis dead. Zone `z` is the hash `pricing:z` with the fields of `pricing.stores.zone_hash`.
    Needs one server or a primary: a script call spans keys, which a cluster refuses.
    """

    def __init__(self, config: RedisConfig, *, now: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._now = now
        self._readers = open_pool(config, config.timeout_ms, config.max_connections)
        self._writers = open_pool(config, config.write_timeout_ms, _WRITE_CONNECTIONS)
        # Made once: making a client costs as much as a read.
        self._reader = Redis(connection_pool=self._readers)
        self._writer = Redis(connection_pool=self._writers)
        self._is_open = False
        self._has_read_scripts = True
        self._replies: dict[str, tuple[object, ZoneState]] = {}
        self._unreadable = 0
        self._log_again_at = now()

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False
        for pool in (self._readers, self._writers):
            try:
                await pool.aclose()
            except (driver.RedisError, OSError):
                _log.warning("redis connection closed uncleanly", exc_info=True)

    async def read(self, zone_ids: Sequence[str]) -> dict[str, ZoneState]:
        """Read zones in one round trip for each 500 of them, all under one deadline.

        A zone without a hash is absent. So is one whose hash we cannot read; that is logged at
        most once a minute. Raises `DependencyError`.
        """
        wanted = list(dict.fromkeys(zone_ids))
        replies = await bounded(self._fetch(wanted), self._config.timeout_ms)
        decoded = {
            zone_id: self._decoded(zone_id, reply)
            for zone_id, reply in zip(wanted, replies, strict=True)
        }
        return {zone_id: state for zone_id, state in decoded.items() if state is not None}

    async def write(self, states: Sequence[ZoneState]) -> int:
        """Store the states that are newer than the stored ones; returns how many were.

        Raises `DependencyError`; some may then have been stored, and a repeat is safe.
        """
        rows = [(_key(state.zone_id), encode(state)) for state in states]
        return await bounded(self._store(rows), self._config.write_timeout_ms)

    async def ping(self) -> None:
        """Return once the server answers. Raises `DependencyError`."""
        await bounded(self._ping(), self._config.timeout_ms)

    def _opened(self, client: Redis) -> Redis:
        if not self._is_open:
            raise DependencyUnavailable("redis", "the client is not open")
        return client

    async def _ping(self) -> None:
        await self._opened(self._reader).ping()

    async def _fetch(self, zone_ids: Sequence[str]) -> list[object]:
        client = self._opened(self._reader)
        replies: list[object] = []
        for start in range(0, len(zone_ids), _READ_CHUNK):
            keys = [_key(zone_id) for zone_id in zone_ids[start : start + _READ_CHUNK]]
            replies += map(_checked, await self._fetch_chunk(client, keys))
        return replies

    async def _fetch_chunk(self, client: Redis, keys: Sequence[str]) -> list[object]:
        """The hashes, each in the place of its key."""
        if self._has_read_scripts:
            try:
                return await self._fetch_by_script(keys)
            except driver.ResponseError as refusal:
                if not _lacks_read_scripts(refusal):
                    raise
                _log.info("read-only scripts refused, redis reads go by pipeline")
                self._has_read_scripts = False
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(key)
        return cast(list[object], await pipeline.execute(raise_on_error=False))

    async def _fetch_by_script(self, keys: Sequence[str]) -> list[object]:
        rest = [word(str(len(keys))), *map(_packed_key, keys)]
        try:
            return cast(list[object], await ask(self._readers, [*_READ_BY_SHA, *rest]))
        except driver.NoScriptError:
            # A restarted or flushed server forgot the script; EVAL_RO also teaches it again.
            return cast(list[object], await ask(self._readers, [*_READ_BY_TEXT, *rest]))

    async def _store(self, rows: Sequence[_Row]) -> int:
        client = self._opened(self._writer)
        accepted = 0
        for start in range(0, len(rows), _WRITE_CHUNK):
            accepted += await self._store_chunk(client, rows[start : start + _WRITE_CHUNK])
        return accepted

    async def _store_chunk(self, client: Redis, rows: Sequence[_Row]) -> int:
        keys = [key for key, _ in rows]
        values = [value for _, row in rows for value in row]
        arguments = (*keys, str(self._config.ttl_s), str(len(FIELDS)), *FIELDS, *values)
        try:
            return int(await client.evalsha(_WRITE_SHA, len(keys), *arguments))
        except driver.NoScriptError:
            # A restarted or flushed server forgot the script; EVAL also teaches it again.
            return int(await client.eval(_WRITE_SCRIPT, len(keys), *arguments))

    def _decoded(self, zone_id: str, reply: object) -> ZoneState | None:
        if not reply:
            return None
        known = self._replies.get(zone_id)
        if known is not None and known[0] == reply:
            # A zone says the same for a whole tick, and comparing costs a twentieth of decoding.
            return known[1]
        if isinstance(reply, driver.ResponseError):
            self._note_unreadable(zone_id, "not a hash")
            return None
        try:
            state = decode(zone_id, _as_mapping(reply))
        except ValueError as fault:
            self._note_unreadable(zone_id, str(fault))
            return None
        if known is not None or len(self._replies) < _KEPT_REPLIES:
            self._replies[zone_id] = (reply, state)
        return state

    def _note_unreadable(self, zone_id: str, error: str) -> None:
        # One line a minute: whoever overwrote one hash has most often overwritten all.
        self._unreadable += 1
        if self._now() < self._log_again_at:
            return
        _log.warning("zone hash not read", zone_id=zone_id, error=error, count=self._unreadable)
        self._unreadable = 0
        self._log_again_at = self._now() + _LOG_EVERY_S


def _key(zone_id: str) -> str:
    return f"pricing:{zone_id}"


def _lacks_read_scripts(refusal: driver.ResponseError) -> bool:
    """Whether the server is too old for read-only scripts (before Redis 7), or forbids them."""
    return isinstance(refusal, driver.NoPermissionError) or "unknown command" in str(refusal)


def _as_mapping(reply: object) -> Mapping[bytes, bytes]:
    """A hash's reply as a mapping: the driver has made one of it, or it is names and values."""
    if isinstance(reply, list):
        return dict(zip(reply[::2], reply[1::2], strict=True))
    return cast(Mapping[bytes, bytes], reply)


def _checked(reply: object) -> object:
    """The reply to one command of a pipeline; raises the server's refusal, but for a wrong type."""
    if isinstance(reply, Exception) and not str(reply).startswith("WRONGTYPE"):
        raise reply
    return reply
