"""Counts trips into a demand table: `python -m pricing.simulator.fit TRIPS.csv > table.json`."""

from __future__ import annotations

import sys
from pathlib import Path

from pricing.errors import TripsError
from pricing.simulator.demand_table import count_trips, table_to_json
from pricing.simulator.trip_file import read_trips

_ORIGIN = "New York City taxi trip records, sample of March 2019 (NYC Taxi & Limousine Commission)"


def fit(path: Path) -> str:
    """Read New York trips and return their demand table as JSON."""
    with path.open(encoding="utf-8", newline="") as lines:
        trips = read_trips(lines, path.name)
    return table_to_json(
        count_trips(trips, city_id="nyc", timezone="America/New_York", origin=_ORIGIN)
    )


def main(arguments: list[str]) -> int:
    """Print the table; 2 for wrong usage, 1 for a file that cannot be read."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m pricing.simulator.fit TRIPS.csv\n")
        return 2
    try:
        sys.stdout.write(fit(Path(arguments[0])))
    except (OSError, TripsError) as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
