"""A dependency that is back gets its load step by step. Pure: time and chance are arguments.

A breaker that closes says that a handful of probes went well, not that a cold cache can take
everything at once. After it closes, 5 % of the calls go there, then 10, 20, 40, 70 and all, a
step every 3 s, only while calls succeed; a step that goes badly falls back two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fallback.config_check import check_field

FULL = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RampConfig:
    """Steps of a ramp. Raises `ValueError` naming the field and the bad value."""

    shares: tuple[int, ...] = (5, 10, 20, 40, 70)
    """Per cent of the calls, before the last step: all."""
    step_s: float = 3.0
    jitter: float = 0.2
    """Steps last this share longer or shorter, so that replicas do not step together."""
    success_threshold: float = 0.99
    minimum_number_of_calls: int = 20
    """In a step with fewer calls none may fail; with so many, one always may."""
    slow_threshold: float = 0.05
    """Share of the calls of a step that may be slow; one always may."""
    fall_back: int = 2

    def __post_init__(self) -> None:
        """Check every range."""
        rising = all(low < high for low, high in zip(self.shares, self.shares[1:], strict=False))
        check_field(self, "shares", bool(self.shares) and rising and self.shares[0] > 0)
        check_field(self, "shares", self.shares[-1] < FULL)
        check_field(self, "step_s", self.step_s > 0)
        check_field(self, "jitter", 0 <= self.jitter < 1)
        check_field(self, "success_threshold", 0 < self.success_threshold <= 1)
        check_field(self, "slow_threshold", 0 <= self.slow_threshold <= 1)
        check_field(self, "minimum_number_of_calls", self.minimum_number_of_calls >= 1)
        check_field(self, "fall_back", self.fall_back >= 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """Where a dependency is on its way back. Beyond the last share it is done."""

    index: int
    until_s: float = 0.0
    successes: int = 0
    failures: int = 0
    slow: int = 0
    """Of the successes."""

    def share(self, config: RampConfig) -> int:
        """Per cent of the calls that may go there."""
        return config.shares[self.index] if self.index < len(config.shares) else FULL

    def is_done(self, config: RampConfig) -> bool:
        return self.index >= len(config.shares)

    def admits(self, config: RampConfig, random: float) -> bool:
        """Whether a call may go there; `random` in [0, 1)."""
        return random * FULL < self.share(config)

    def count(self, *, failed: bool, slow: bool = False) -> Ramp:
        """The ramp after a call."""
        if failed:
            return replace(self, failures=self.failures + 1)
        return replace(self, successes=self.successes + 1, slow=self.slow + slow)


def done(config: RampConfig) -> Ramp:
    """The ramp of a dependency that takes everything."""
    return Ramp(index=len(config.shares))


def begin(config: RampConfig, now_s: float, random: float) -> Ramp:
    """The ramp of a dependency whose breaker has just closed."""
    return Ramp(index=0, until_s=_until_s(config, now_s, random))


def advance(config: RampConfig, ramp: Ramp, now_s: float, random: float) -> Ramp:
    """The ramp as time goes by.

    Judged by the dependency's own calls alone: what the ramp keeps from it may make everything
    else slow, and must not keep the ramp from going on.
    """
    if ramp.is_done(config) or now_s < ramp.until_s:
        return ramp
    index = ramp.index + 1 if _is_good(config, ramp) else max(0, ramp.index - config.fall_back)
    return Ramp(index=index, until_s=_until_s(config, now_s, random))


def _is_good(config: RampConfig, ramp: Ramp) -> bool:
    """Whether a step went well. A single timeout among a few calls is chance."""
    calls = ramp.successes + ramp.failures
    may_fail = 0.0
    if calls >= config.minimum_number_of_calls:
        may_fail = max(1.0, (1 - config.success_threshold) * calls)
    return ramp.failures <= may_fail and ramp.slow <= max(1, config.slow_threshold * calls)


def _until_s(config: RampConfig, now_s: float, random: float) -> float:
    return now_s + config.step_s * (1 + config.jitter * (2 * random - 1))
