"""Breakers by name: one place where health, metrics, the mode and operators find them."""

from __future__ import annotations

from collections.abc import Iterator

from fallback.breaker.breaker import CircuitBreaker


class BreakerRegistry:
    """The breakers of a process, in the order in which they were added. Fixed names: bounded."""

    def __init__(self) -> None:
        self._breakers: dict[str, CircuitBreaker] = {}

    def add(self, breaker: CircuitBreaker) -> CircuitBreaker:
        """Register a breaker and return it. Raises `ValueError` for a name that is taken."""
        if breaker.name in self._breakers:
            raise ValueError(f"name={breaker.name!r} is taken")
        self._breakers[breaker.name] = breaker
        return breaker

    def get(self, name: str) -> CircuitBreaker | None:
        """The breaker of that name; None if there is none."""
        return self._breakers.get(name)

    def __getitem__(self, name: str) -> CircuitBreaker:
        """The breaker of that name. Raises `KeyError`."""
        return self._breakers[name]

    def reset_all(self) -> None:
        """Close every breaker."""
        for breaker in self:
            breaker.reset()

    def expire(self) -> None:
        """Let every breaker end what is over."""
        for breaker in self:
            breaker.expire()

    def __iter__(self) -> Iterator[CircuitBreaker]:
        return iter(tuple(self._breakers.values()))
