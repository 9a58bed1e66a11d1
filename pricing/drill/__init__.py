"""`equilibrium drill`: breaks the embedded stack on purpose under load, and says what clients saw.

`scenario.py` (what is broken, and what was promised), `load.py` (clients), `run.py` (the drill).
"""

from pricing.drill.command import run_drill
from pricing.drill.scenario import SCENARIOS

__all__ = ["SCENARIOS", "run_drill"]
