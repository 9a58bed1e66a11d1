"""The box of dead letters: real files, one directory a test."""

from __future__ import annotations

import pytest

from fallback.errors import DeadLettersFull
from fallback.pump.dead_letters import DeadLetterBox, DeadLetterLimits, Letter, Strategy, letter_id

DAY_MS = 86_400_000


class Shelf:
    """A box and its clock."""

    def __init__(self, directory, **limits: int) -> None:
        self.now_ms = 1_000_000
        self.box = DeadLetterBox(
            directory, now_ms=lambda: self.now_ms, limits=DeadLetterLimits(**limits)
        )

    def add(self, body: bytes = b"body", error_class: str = "10", attempts: int = 1) -> Letter:
        return self.box.add(
            lane="rides/3",
            seq=7,
            body=body,
            error_class=error_class,
            reason="too large",
            attempts=attempts,
            appended_ms=5,
        )


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return Shelf(tmp_path / "letters")


def test_letter_is_found_by_its_id_with_everything_in_it(shelf):
    letter = shelf.add(b"\x00\xff body")
    assert letter.id == letter_id("rides/3", b"\x00\xff body")
    assert shelf.box.get(letter.id) == letter
    assert (letter.lane, letter.seq, letter.body) == ("rides/3", 7, b"\x00\xff body")
    assert (letter.attempts, letter.retries, letter.buried_ms) == (1, 0, 1_000_000)


def test_letters_come_oldest_first(shelf):
    for number in range(3):
        shelf.now_ms += 1
        shelf.add(b"%d" % number)
    assert [letter.body for letter in shelf.box.letters()] == [b"0", b"1", b"2"]


def test_same_event_is_one_letter_however_often_it_is_added(shelf):
    assert shelf.add().id == shelf.add().id
    assert shelf.box.stats().letters == 1


@pytest.mark.parametrize("limits", [{"letters": 2}, {"size_bytes": 500}])
def test_full_box_refuses_and_keeps_what_it_has(tmp_path, limits):
    shelf = Shelf(tmp_path, **limits)
    shelf.add(b"1")
    shelf.add(b"2")
    with pytest.raises(DeadLettersFull):
        shelf.add(b"3")
    shelf.add(b"2")
    assert len(shelf.box.letters()) == 2


def test_discarded_letter_is_gone_and_a_missing_one_is_told(shelf):
    letter = shelf.add()
    assert shelf.box.discard(letter.id)
    assert not shelf.box.discard(letter.id)
    assert shelf.box.get(letter.id) is None


@pytest.mark.parametrize("identity", ["", "../lock", "a/b", "a.b", "ü"])
def test_id_from_outside_is_never_a_path(shelf, identity):
    for call in (shelf.box.get, shelf.box.discard, shelf.box.ask_retry):
        with pytest.raises(ValueError, match="no id"):
            call(identity)


def test_retry_moves_a_letter_to_be_put_back_and_counts_it(shelf):
    letter = shelf.add()
    assert shelf.box.ask_retry(letter.id)
    assert not shelf.box.ask_retry(letter.id)
    assert (shelf.box.letters(), shelf.box.stats().waiting_for_retry) == ([], 1)
    (marked,) = shelf.box.to_put_back()
    assert marked == letter
    shelf.box.was_put_back(marked)
    assert shelf.box.to_put_back() == []
    assert shelf.add().retries == 1


def test_notes_of_what_was_put_back_are_forgotten_after_a_while(shelf):
    letter = shelf.add()
    shelf.box.ask_retry(letter.id)
    shelf.box.was_put_back(letter)
    assert shelf.box.forget_retried(DAY_MS) == 0
    shelf.now_ms += DAY_MS + 1
    assert shelf.box.forget_retried(DAY_MS) == 1
    assert shelf.add().retries == 0


def test_strategy_retries_its_class_later_and_later_and_not_for_ever(shelf):
    strategies = {"-1": Strategy(max_retries=2, retry_after_s=300)}
    held = shelf.add(b"held", "10")
    waits = []
    for _ in range(2):
        letter = shelf.add(b"tried", "-1")
        began_ms = shelf.now_ms
        while not shelf.box.ask_due(strategies, 20):
            shelf.now_ms += 10_000
        waits.append((shelf.now_ms - began_ms) // 1000)
        shelf.box.was_put_back(letter)
    assert waits == [300, 600]
    shelf.add(b"tried", "-1")
    shelf.now_ms += DAY_MS
    assert shelf.box.ask_due(strategies, 20) == 0
    assert held.id in {letter.id for letter in shelf.box.letters()}


def test_round_marks_at_most_a_batch(shelf):
    for number in range(30):
        shelf.add(b"%d" % number, "-1")
    assert shelf.box.ask_due({"-1": Strategy(max_retries=1, retry_after_s=0.001)}, 20) == 0
    shelf.now_ms += 10
    assert shelf.box.ask_due({"-1": Strategy(max_retries=1, retry_after_s=0.001)}, 20) == 20


def test_file_that_is_no_letter_is_left_out(shelf, tmp_path):
    shelf.add()
    (tmp_path / "letters" / "strange.json").write_text("{")
    (tmp_path / "letters" / "half.tmp").write_text("")
    assert len(shelf.box.letters()) == 1
    assert shelf.box.unreadable() == ["strange"]


def test_file_that_is_no_letter_cannot_be_put_back_but_thrown_away(shelf, tmp_path):
    shelf.add()
    (tmp_path / "letters" / "strange.json").write_text("{")
    assert not shelf.box.ask_retry("strange")
    assert shelf.box.stats().waiting_for_retry == 0
    assert shelf.box.discard("strange")
    assert shelf.box.unreadable() == []


def test_stats_count_by_class(shelf):
    shelf.add(b"1", "10")
    shelf.add(b"2", "10")
    shelf.add(b"3", "-1")
    stats = shelf.box.stats()
    assert (stats.letters, dict(stats.by_class), stats.oldest_ms) == (
        3,
        {"10": 2, "-1": 1},
        1_000_000,
    )


def test_box_without_a_directory_is_empty(tmp_path):
    stats = Shelf(tmp_path / "none").box.stats()
    assert (stats.letters, stats.size_bytes, stats.oldest_ms) == (0, 0, None)


def test_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="letters=0"):
        DeadLetterLimits(letters=0)
