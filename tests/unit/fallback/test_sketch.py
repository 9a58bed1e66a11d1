from __future__ import annotations

import math
import random

import pytest

from fallback.sketch import BudgetBurn, LatencySketch, ShareWindow


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99, 1.0])
def test_quantile_is_within_a_bucket_of_the_true_one(share):
    chance = random.Random(7)
    values = [chance.lognormvariate(-5, 1.5) for _ in range(5_000)]
    sketch = LatencySketch()
    for value in values:
        sketch.record(0.0, value)
    true = sorted(values)[math.ceil(share * len(values)) - 1]
    assert true <= sketch.quantile(0.0, share) <= true * 1.11


def test_empty_sketch_has_no_quantile():
    assert LatencySketch().quantile(0.0, 0.5) is None


def test_values_are_forgotten_after_the_window():
    sketch = LatencySketch(window_s=10, slots=10)
    sketch.record(0.5, 1.0)
    sketch.record(5.5, 0.001)
    assert sketch.count(9.9) == 2
    assert sketch.quantile(10.0, 1.0) < 0.0012
    assert sketch.count(1_000.0) == 0


def test_extreme_values_land_in_the_outer_buckets():
    sketch = LatencySketch()
    for value in (-1.0, 0.0, 1e-9, 1e9):
        sketch.record(0.0, value)
    assert sketch.quantile(0.0, 0.75) == 1e-5
    assert 200 < sketch.quantile(0.0, 1.0) < 300


def test_shares_are_of_everything_within_the_window():
    window = ShareWindow(("good", "bad"), window_s=60)
    window.record(0.0, "bad")
    window.record(30.0, "good", 3)
    assert window.share(59.0, "bad") == 0.25
    assert (window.share(60.0, "bad"), window.total(60.0)) == (0.0, 3)
    window.clear()
    assert (window.share(60.0, "good"), window.count(60.0, "good")) == (0.0, 0)


def test_unknown_name_is_refused():
    with pytest.raises(KeyError):
        ShareWindow(("good",), 60).record(0.0, "bad")


def test_budget_burns_by_the_slower_window():
    burn = BudgetBurn(0.999)
    burn.record(0.0, good=9_900, bad=100)
    assert burn.rate(1.0) == pytest.approx(10.0)
    burn.record(1_000.0, good=10_000)
    assert burn.rate(1_001.0) == 0.0
    burn.record(2_000.0, good=9_000, bad=1_000)
    assert burn.rate(2_001.0) == pytest.approx(1_100 / 30_000 / 0.001)


def test_forgiven_failures_burn_no_more_and_new_ones_burn_at_once():
    burn = BudgetBurn(0.999)
    burn.record(0.0, good=9_900, bad=100)
    burn.forgive()
    assert burn.rate(1.0) == 0.0
    burn.record(2.0, good=9_500, bad=500)
    assert burn.rate(2.0) == pytest.approx(30.0)


def test_few_results_burn_nothing():
    burn = BudgetBurn(0.999, least=100)
    burn.record(0.0, bad=99)
    assert burn.rate(0.0) == 0.0
    burn.record(0.0, bad=1)
    assert burn.rate(0.0) == pytest.approx(1_000)


@pytest.mark.parametrize("make", [lambda: LatencySketch(0), lambda: ShareWindow((), 60, 0)])
def test_window_without_extent_is_refused(make):
    with pytest.raises(ValueError, match="must be positive"):
        make()


def test_least_window_is_taken():
    window = ShareWindow(("good",), window_s=0.5, slots=1)
    window.record(0.4, "good")
    assert (window.total(0.49), window.total(0.5)) == (1, 0)


def test_objective_must_leave_something():
    with pytest.raises(ValueError, match="objective=1"):
        BudgetBurn(1)
