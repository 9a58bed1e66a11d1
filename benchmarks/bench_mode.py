"""What the system mode costs a request, and a second."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.benchmark import Case
from fallback.mode import Inputs, Reading, initial, step
from pricing.access.auth import KeyGate, OpenGate, may
from pricing.access.keys import KeyFile
from pricing.access.role import Role
from pricing.metrics.request_stats import RequestStats
from pricing.mode.current import CurrentPolicy
from pricing.mode.inputs import mode_config
from pricing.mode.policy import ModePolicy, policies
from pricing.model import Source
from pricing.reading.policy import ReadPolicy

_CALLS = 20_000
_ROUTE = "/api/v1/zones/{zone_id}/price"


def _repeat(call: Callable[[], object], times: int = _CALLS) -> Callable[[], None]:
    def calls() -> None:
        for _ in range(times):
            call()

    return calls


class _Mode:
    name = "mode"
    what = (
        "What each price request does for the mode and for access, one by one; the last case is "
        "the step that runs once a second. The baseline is reading a policy that never changes."
    )
    unit = "request"

    def cases(self) -> Sequence[Case]:
        fixed, stats = ModePolicy(), RequestStats()
        current = CurrentPolicy(policies(ReadPolicy(), 50_000))
        with tempfile.TemporaryDirectory() as directory:
            file = KeyFile(Path(directory) / "keys.json")
            for number in range(100):
                _, text = file.create(name=f"k{number}", role=Role.CLIENT, now_s=1)
            ring = file.load()
        gate = KeyGate(lambda: ring, wall_s=lambda: 2.0)
        headers = [(b"host", b"x"), (b"accept", b"*/*"), (b"x-api-key", text.encode())]
        config = mode_config(tick_s=5, up_dwell_s=3, down_dwell_s=60)
        inputs = Inputs(
            readings={
                spec.name: Reading(value=1.0 if spec.scale else "well") for spec in config.inputs
            }
        )
        state = initial(config, 0.0)

        def counted() -> None:
            stats.request(_ROUTE, 200, 0.0005)
            stats.answered(Source.REDIS, 1)

        ways: list[tuple[str, Callable[[], object], int]] = [
            ("fixed policy", lambda: fixed.read.memo_ms, _CALLS),
            ("policy of the mode", lambda: current.now.read.memo_ms, _CALLS),
            ("count an answer and its time", counted, _CALLS),
            ("access, open", lambda: may(OpenGate(), headers, Role.CLIENT), _CALLS),
            ("access, one of 100 keys", lambda: may(gate, headers, Role.CLIENT), _CALLS),
            (
                "a step over every input, once a second",
                lambda: step(config, state, inputs, 1.0),
                200,
            ),
        ]
        return [
            Case(label=label, run=_repeat(way, times), operations=times)
            for label, way, times in ways
        ]


BENCHMARK = _Mode()
