"""`equilibrium spool …`, `dlq …` and `keys …` as a person calls them: on what is whole or hurt."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fallback.pump.dead_letters import DeadLetterBox
from fallback.spool import Durability, Entry, Spool, SpoolConfig
from pricing.cli.app import main
from pricing.embedded import free_ports
from streaming.events.codec import encode
from streaming.events.packing import pack
from tests.support.kafka_log import ride_request

MIB = 1 << 20
SMALL = SpoolConfig(segment_bytes=MIB, quota_bytes=16 * MIB, free_floor_bytes=0)
LANE = b"equilibrium.ride-requests/0"
LOGGING = {"replay", "repair", "retry", "discard", "create", "revoke"}
"""Commands that set up the logs."""


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self):
        return json.loads(self.out)


Call = Callable[..., Said]


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    """The state directory of the commands; not made."""
    monkeypatch.setenv("EQUILIBRIUM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("EQUILIBRIUM_KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_ports(1)[0]}")
    return tmp_path / "state"


@pytest.fixture
def call_here(state, monkeypatch, capfd) -> Iterator[Call]:
    """Runs a command in this process, which is quick; a traceback would fail the test.

    For commands that end before they set up the logs, which are those of other tests too.
    """
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> Said:
        monkeypatch.setattr("sys.argv", ["equilibrium", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Said(int(ended.value.code or 0), *capfd.readouterr())

    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def call(call_here) -> Call:
    """Runs a command: in this process, or in one of its own where it sets up the logs."""

    def run(*arguments: str) -> Said:
        own_process = LOGGING & set(arguments)
        return in_a_process(*arguments) if own_process else call_here(*arguments)

    return run


def in_a_process(*arguments: str) -> Said:
    command = [sys.executable, "-m", "pricing", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def spool(state) -> Path:
    """A spool that a dead process left, with ten events in it."""

    async def fill() -> None:
        async with Spool.open(state / "spool" / "0", SMALL) as spool:
            entries = [Entry(LANE, pack(encode(ride_request(number)))) for number in range(10)]
            await spool.append(entries, durability=Durability.DURABLE, timeout_s=5)

    asyncio.run(fill())
    return state / "spool" / "0"


@pytest.fixture
def letter(state) -> str:
    """The id of a dead letter."""
    box = DeadLetterBox(state / "dead-letters", now_ms=lambda: 1)
    body = pack(encode(ride_request()))
    facts = {"attempts": 1, "appended_ms": 1}
    lane = LANE.decode()
    return box.add(lane=lane, seq=1, body=body, error_class="10", reason="test", **facts).id


def segment_of(spool: Path) -> Path:
    (path,) = spool.glob("*.seg")
    return path


EVERY = [
    ("spool", "ls"),
    ("spool", "check"),
    ("spool", "export"),
    ("spool", "replay", "--timeout", "1"),
    ("spool", "repair"),
    ("dlq", "ls"),
    ("dlq", "show", "abc"),
    ("dlq", "retry", "--all"),
    ("dlq", "discard", "--all"),
]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_missing_state_directory_is_one_line_that_names_it(call_here, state, command, as_json):
    said = call_here(*command, *(["--json"] if as_json else []))
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        f"equilibrium: {state}: no such directory; EQUILIBRIUM_STATE_DIR names it\n"
    )


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_file_where_a_directory_belongs_is_one_line_that_names_it(call_here, state, command):
    state.mkdir()
    for name in ("spool", "dead-letters"):
        (state / name).write_text("no directory")
    said = call_here(*command)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert "Not a directory" in said.err
    assert str(state) in said.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("spool", "ls", "--spool", "7"), "--spool 7: there is no such spool"),
        (("spool", "replay", "--timeout", "0"), "--timeout"),
        (("spool", "nothing"), "nothing"),
        (("spool",), "Missing command"),
        (("dlq",), "Missing command"),
        (("dlq", "show"), "ID"),
        (("dlq", "show", "../lock"), "no id of a dead letter"),
        (("dlq", "retry", "../lock"), "no id of a dead letter"),
        (("dlq", "retry"), "give ids, or --all, or --class"),
        (("dlq", "discard", "abc", "--all"), "give ids, or --all, or --class"),
    ],
)
def test_wrong_call_is_one_line_and_code_2(call_here, spool, letter, command, words):
    said = call_here(*command)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert words in said.err


def test_state_without_spools_has_none(call, state):
    state.mkdir()
    for command in ("ls", "check", "replay", "repair"):
        assert call("spool", command) == (0, "no spools\n", "")
        assert call("spool", command, "--json").answer["data"] == []
    assert call("spool", "export", "--json") == (0, "", "")
    assert call("dlq", "ls") == (0, "no dead letters\n", "")


def test_whole_spool_is_shown_read_and_left_alone(call, spool):
    before = {path.name: path.read_bytes() for path in spool.iterdir()}
    (row,) = call("spool", "ls", "--json").answer["data"]
    assert (row["pending"], row["held"], row["damaged"]) == (10, False, 0)
    assert call("spool", "check") == (0, "no damage\n", "")
    lines = call("spool", "export", "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [*range(1, 11)]
    assert {path.name: path.read_bytes() for path in spool.iterdir()} == before


def test_damaged_record_is_told_set_aside_and_counted(call, spool):
    data = bytearray(segment_of(spool).read_bytes())
    data[1_000] ^= 0xFF
    segment_of(spool).write_bytes(data)
    said = call("spool", "check", "--json")
    assert (said.code, said.err, said.answer["damaged"]) == (1, "", True)
    assert [row["lost"] for row in said.answer["data"]] == [1]
    assert len(call("spool", "export").out.splitlines()) == 9
    said = call("spool", "repair", "--json")
    (row,) = said.answer["data"]
    assert (said.code, said.err, row["done"], row["lost"], row["pending"]) == (0, "", True, 1, 9)


def test_torn_segment_is_cut_and_what_is_gone_is_counted(call, spool):
    os.truncate(segment_of(spool), 900)
    (row,) = call("spool", "repair", "--json").answer["data"]
    assert (row["done"], row["lost"] + row["pending"]) == (True, 10)
    assert call("spool", "check") == (0, "no damage\n", "")


@pytest.mark.parametrize("command", EVERY[:5], ids=" ".join)
def test_segment_that_cannot_be_read_is_one_line_and_code_1(call, spool, command):
    name = segment_of(spool)
    name.unlink()
    name.mkdir()
    said = call(*command)
    assert said.code == 1
    assert (said.out + said.err).count("\n") == 1
    assert "Is a directory" in said.out + said.err


def test_replay_without_kafka_says_why_and_leaves_everything(call, spool):
    said = call("spool", "replay", "--timeout", "2", "--json")
    (row,) = said.answer["data"]
    assert (said.code, said.err) == (1, "")
    assert (row["done"], row["sent"], row["left"]) == (False, 0, 10)
    assert "ConnectionRefusedError" in row["problem"]
    said = call("spool", "replay", "--timeout", "1")
    assert (said.code, said.err, said.out.count("\n")) == (1, "", 1)


def test_letter_that_is_not_there_is_one_line_and_code_1(call, letter):
    assert call("dlq", "show", "abc") == (1, "", "equilibrium: no dead letter abc\n")
    said = call("dlq", "retry", "abc", letter)
    assert (said.code, said.err) == (1, "equilibrium: no dead letter abc\n")
    assert said.out == "1 marked to be put back\n"
    said = call("dlq", "discard", "abc", "--json")
    assert (said.code, said.answer) == (1, {"done": 0, "missing": ["abc"]})


def test_letter_that_cannot_be_read_is_told_and_can_be_discarded(call, state, letter):
    (state / "dead-letters" / "deadbeef.json").write_text('{"id":')
    said = call("dlq", "ls", "--json")
    assert (said.code, said.answer["total"], said.answer["unreadable"]) == (0, 1, ["deadbeef"])
    unreadable = "equilibrium: dead letter deadbeef cannot be read; it can only be discarded\n"
    assert said.err == unreadable
    assert call("dlq", "show", "deadbeef") == (1, "", unreadable)
    assert call("dlq", "retry", "deadbeef").code == 1
    assert call("dlq", "discard", "deadbeef") == (0, "1 discarded\n", "")


def test_letters_are_shown_marked_and_thrown_away(call, letter):
    assert call("dlq", "show", letter, "--json").answer["data"]["key"] == "nyc"
    assert letter in call("dlq", "ls").out
    assert call("dlq", "ls", "--class", "2") == (0, "no dead letters\n", "")
    assert call("dlq", "discard", "--class", "10", "--older-than-days", "1").out == "1 discarded\n"
    assert call("dlq", "retry", "--all").out == "0 marked to be put back\n"


def test_acts_at_the_command_line_wait_in_a_spool_for_the_audit(call, letter):
    key = call("keys", "create", "--role", "client", "--name", "anna").out.strip()
    key_id = call("keys", "ls").out.split()[0]
    assert call("keys", "revoke", key_id).code == 0
    assert call("dlq", "discard", letter).out == "1 discarded\n"
    export = call("spool", "export", "--json").out
    acts = [json.loads(line)["value"] for line in export.splitlines()]
    told = {act["action"]: (act["target"], act["after"]) for act in acts}
    assert list(told) == ["keys.create", "keys.revoke", "dlq.discard"]
    assert told["keys.create"][0] == key_id == told["keys.revoke"][0]
    assert told["keys.revoke"][1]["revoked_at"] is not None
    assert told["dlq.discard"] == (letter, {"count": 1, "ids": [letter]})
    assert all(act["actor"].endswith("at the command line") for act in acts)
    assert key.encode()[-20:].decode() not in export


def test_act_that_cannot_be_noted_is_done_and_told(call, state):
    state.mkdir()
    (state / "spool").write_text("no directory")
    made = call("keys", "create", "--role", "client", "--name", "anna")
    assert made.code == 0
    assert len(made.out.splitlines()) == 1
    assert "audit write failed" in made.err
    assert "Traceback" not in made.err
