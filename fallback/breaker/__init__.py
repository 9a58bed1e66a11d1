"""Circuit breaker: stops calling what fails, and finds out by itself when it is well again.

    breaker = CircuitBreaker("redis", BreakerConfig())
    value = await breaker.call(lambda: client.get(key), fallback=lambda error: None)

The files, from pure to shell: `config.py`, `state.py`, `window.py`, `machine.py` (every decision),
`breaker.py` (clock, classification, hooks), `registry.py` (breakers by name), `profiles.py`
(configurations by name). Imports `fallback`'s shared words (errors, clock, observer, ring) only.
"""

from fallback.breaker.breaker import BreakerObserver, CircuitBreaker, Verdict
from fallback.breaker.config import BreakerConfig
from fallback.breaker.machine import Machine
from fallback.breaker.profiles import PROFILES, parse_breaker
from fallback.breaker.registry import BreakerRegistry
from fallback.breaker.state import Permit, Snapshot, State, Transition

__all__ = [
    "PROFILES",
    "BreakerConfig",
    "BreakerObserver",
    "BreakerRegistry",
    "CircuitBreaker",
    "Machine",
    "Permit",
    "Snapshot",
    "State",
    "Transition",
    "Verdict",
    "parse_breaker",
]
