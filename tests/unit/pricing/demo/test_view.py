from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from pricing.demo.screen import PlainScreen, TerminalScreen, open_screen
from pricing.demo.summary import Summary, summary_lines
from pricing.demo.view import View, ZoneRow, busiest, clock, line, table

ROWS = (
    ZoneRow(
        name="Times Sq/Theatre District",
        demand=41,
        supply=12,
        multiplier=1.35,
        price="13.50 USD",
        source="redis",
        age_s=2.14,
    ),
    ZoneRow(
        name="Midtown Center",
        demand=30,
        supply=31,
        multiplier=1.0,
        price="9.00 USD",
        source="stale_cache",
        age_s=31.0,
    ),
)
VIEW = View(
    elapsed_s=65.2,
    city_time="Wed 18:04",
    mode="degraded",
    rows=ROWS,
    surged=14,
    zones=260,
    events_per_s=112.4,
    prices_per_s=260.0,
    by_source={"redis": 15_000, "stale_cache": 520},
    oldest_s=31.04,
    unanswered=0,
    accepted=9_811,
    missing=2,
    slowest_ms=211.7,
    note="redis was killed on purpose, back in 12 s",
)
TABLE = """\
mode degraded   city Wed 18:04   running 1:05

 zone                        demand   supply   surge       price   source           age
 ──────────────────────────────────────────────────────────────────────────────────────
 Times Sq/Theatre District       41       12   x1.35   13.50 USD   redis          2.1 s
 Midtown Center                  30       31   x1.00    9.00 USD   stale_cache   31.0 s

112 events/s in   260 prices/s out   surge in 14 of 260 zones
answers: redis 15000 database 0 stale_cache 520 default 0   unanswered 0   slowest 212 ms   ages up
to 31.0 s
events: 9811 acknowledged, 2 of them not yet in Kafka
redis was killed on purpose, back in 12 s
"""


def _answer(zone_id: str, demand: int, multiplier: float = 1.0) -> dict[str, Any]:
    return {
        "data": {
            "zone_id": zone_id,
            "zone_name": f"Zone {zone_id}",
            "demand_count": demand,
            "supply_count": 3,
            "surge_multiplier": multiplier,
            "price": 9,
            "currency": "USD",
        },
        "source": "redis",
        "age_ms": 2_140,
    }


def _rendered(view: View) -> str:
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(table(view))
    return "".join(f"{text.rstrip()}\n" for text in out.getvalue().splitlines())


def test_table_text():
    assert _rendered(VIEW) == TABLE


def test_table_without_zones_still_tells_the_rest():
    text = _rendered(replace(VIEW, rows=(), note=""))
    assert "112 events/s in" in text
    assert "on purpose" not in text


def test_line_text():
    assert line(VIEW) == (
        "1:05 degraded | 112 events/s | 260 prices/s"
        " | redis 15000 database 0 stale_cache 520 default 0"
        " | ages up to 31.0 s"
        " | surge in 14 of 260 zones"
        " | busiest: Times Sq/Theatre District x1.35 13.50 USD (41/12),"
        " Midtown Center x1.00 9.00 USD (30/31)"
        " | redis was killed on purpose, back in 12 s"
    )


def test_busiest_are_those_with_most_demand_then_the_dearer():
    answers = [_answer("a", 1), _answer("b", 9), _answer("c", 9, 1.5), _answer("d", 0)]
    rows = busiest(answers, at_most=3)
    assert [row.name for row in rows] == ["Zone c", "Zone b", "Zone a"]
    assert rows[0].price == "9.00 USD"
    assert rows[0].age_s == 2.14


def test_busiest_leaves_out_zones_where_nothing_is_known():
    silent = _answer("a", 0)
    silent["data"]["supply_count"] = 0
    assert busiest([silent]) == []
    assert "busiest: none yet" in line(replace(VIEW, rows=busiest([silent])))


def test_clock_shows_hours_only_when_there_are_some():
    assert (clock(5), clock(65.9), clock(3_605)) == ("0:05", "1:05", "1:00:05")


def test_plain_screen_writes_a_view_every_five_seconds():
    out = io.StringIO()
    screen = PlainScreen(out)
    for second in range(12):
        screen.show(replace(VIEW, elapsed_s=float(second)))
    assert [text.split()[0] for text in out.getvalue().splitlines()] == ["0:00", "0:05", "0:10"]


def test_plain_screen_keeps_a_long_line_whole():
    out = io.StringIO()
    with open_screen(out) as screen:
        screen.say("ready http://127.0.0.1:8000")
        screen.say("x" * 500)
    assert out.getvalue() == f"ready http://127.0.0.1:8000\n{'x' * 500}\n"


def test_terminal_screen_writes_lines_above_the_table_and_gives_the_terminal_back():
    out = io.StringIO()
    screen = TerminalScreen(Console(file=out, force_terminal=True, width=100, height=40))
    screen.say("[b]ready[/b] http://127.0.0.1:8000")
    screen.show(VIEW)
    screen.show(VIEW)
    screen.freeze()
    screen.freeze()
    assert out.getvalue().startswith("[b]ready[/b] http://127.0.0.1:8000\n")
    assert "Midtown Center" in out.getvalue()
    assert out.getvalue().endswith("\x1b[?25h")


SUMMARY = Summary(
    elapsed_s=60.0,
    events_in=7_012,
    withdrawn=0,
    refused=0,
    prices_out=15_600,
    by_source={"redis": 15_000, "default": 600},
    unanswered=0,
    kept=0,
    lost=0,
    unchecked=0,
    slowest_ms=84.4,
)


def test_summary_has_one_figure_a_line():
    assert summary_lines(SUMMARY) == [
        "summary after 1:00",
        "events in: 7012",
        "prices out: 15600",
        "answers by source: redis 15000, database 0, stale_cache 0, default 600",
        "unanswered: 0",
        "lost: 0",
        "slowest answer: 84 ms",
    ]


def test_summary_tells_of_events_that_did_not_make_it():
    lines = summary_lines(replace(SUMMARY, withdrawn=3, refused=1, kept=4, unchecked=2))
    assert lines[-4:] == [
        "events not acknowledged, given up by their sender: 3",
        "events refused: 1",
        "events kept on disk for Kafka: 4",
        "events acknowledged, but not looked for in Kafka: 2",
    ]
