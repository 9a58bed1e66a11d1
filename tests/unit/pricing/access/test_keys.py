from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.access.keys import KeyFile, KeysError, KeyWatch
from pricing.access.role import Role
from tests.support.waiting import until


def test_roles_contain_each_other():
    may = {role: {other for other in Role if role.includes(other)} for role in Role}
    assert may == {
        Role.CLIENT: {Role.CLIENT},
        Role.PRODUCER: {Role.PRODUCER},
        Role.OPERATOR: {Role.CLIENT, Role.PRODUCER, Role.OPERATOR},
        Role.ADMIN: set(Role),
    }


def test_key_is_found_by_its_text_and_kept_only_as_a_hash(tmp_path):
    file = KeyFile(tmp_path / "keys.json")
    key, text = file.create(name="anna", role=Role.OPERATOR, now_s=5, expires_at_s=9)
    assert file.load().find(text.encode()) == key
    secret = text.rpartition("_")[2]
    assert secret not in (tmp_path / "keys.json").read_text()
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0


def test_expiry_is_at_the_second(tmp_path):
    key, _ = KeyFile(tmp_path / "k").create(name="a", role=Role.CLIENT, now_s=1, expires_at_s=9)
    assert [key.is_expired(now) for now in (8.9, 9)] == [False, True]


@given(st.data())
def test_no_other_text_opens(tmp_path_factory, data):
    file = KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")
    _, text = file.create(name="anna", role=Role.CLIENT, now_s=5)
    ring, whole = file.load(), text.encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    assert ring.find(whole[:at]) is None
    other = bytes([data.draw(st.integers(0, 255).filter(lambda byte: byte != whole[at]))])
    assert ring.find(whole[:at] + other + whole[at + 1 :]) is None
    assert ring.find(whole + b"A") is None


def test_revoked_key_stays_listed(tmp_path):
    file = KeyFile(tmp_path / "keys.json")
    key, text = file.create(name="anna", role=Role.CLIENT, now_s=5)
    assert file.revoke(key.key_id, 7).revoked_at_s == 7
    assert file.revoke(key.key_id, 9).revoked_at_s == 7
    assert file.load().find(text.encode()).revoked_at_s == 7
    with pytest.raises(KeysError, match="no key has the id 'nobody'"):
        file.revoke("nobody", 9)


@pytest.mark.parametrize("name", ["", "a" * 101, "two\nlines"])
def test_name_must_be_fit_to_print(tmp_path, name):
    with pytest.raises(KeysError, match="a name has"):
        KeyFile(tmp_path / "keys.json").create(name=name, role=Role.CLIENT, now_s=5)


def test_writers_side_by_side_lose_no_key(tmp_path):
    path = tmp_path / "keys.json"

    def create(number: int) -> None:
        KeyFile(path).create(name=f"n{number}", role=Role.CLIENT, now_s=5)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KeyFile(path).load().keys) == 12


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"version": 2, "keys": []}',
        '{"version": 1, "keys": [{"key_id": "a"}]}',
        json.dumps(
            {
                "version": 1,
                "keys": [
                    {
                        "key_id": "a",
                        "name": "n",
                        "role": "client",
                        "sha256": "0",
                        "created_at_s": 1,
                        "expires_at_s": "never",
                    }
                ],
            }
        ),
        '{"version": 1, "keys": [{"key_id": "a", "role": "king"}]}',
        '{"version": 1, "keys": ["a"]}',
        '{"version": 1, "keys": {"a": 1}}',
        '{"version": 1, "keys": 5}',
        '{"keys": []}',
        "[" * 100_000,
        "null",
    ],
    ids=lambda content: content[:40],
)
def test_file_that_is_none_of_ours_is_refused(tmp_path, content):
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(KeysError):
        KeyFile(tmp_path / "keys.json").load()


@pytest.mark.parametrize("name", ["key_id", "name", "role", "sha256", "created_at_s"])
@pytest.mark.parametrize("value", [None, 1.5, ["x"], {}])
def test_key_with_a_field_of_another_kind_is_refused(tmp_path, name, value):
    file = KeyFile(tmp_path / "keys.json")
    file.create(name="anna", role=Role.CLIENT, now_s=5)
    content = json.loads(file.path.read_text())
    content["keys"][0][name] = value
    file.path.write_text(json.dumps(content))
    with pytest.raises(KeysError, match="no file of keys"):
        file.load()


@given(st.binary(max_size=300))
def test_arbitrary_file_is_refused_and_never_breaks(tmp_path_factory, content):
    file = KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")
    file.path.write_bytes(content)
    with pytest.raises(KeysError):
        file.load()


def test_hash_that_is_none_is_refused(tmp_path):
    file = KeyFile(tmp_path / "keys.json")
    key, _ = file.create(name="anna", role=Role.CLIENT, now_s=5)
    file.path.write_text(file.path.read_text().replace(key.sha256, "é" * 64))
    with pytest.raises(KeysError, match="no file of keys"):
        file.load()


def test_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pricing.access.keys._LARGEST_FILE", 100)
    (tmp_path / "keys.json").write_text(" " * 101)
    with pytest.raises(KeysError, match="larger"):
        KeyFile(tmp_path / "keys.json").load()


async def test_watch_sees_new_keys_and_keeps_the_old_ones_over_a_broken_file(tmp_path):
    file = KeyFile(tmp_path / "keys.json")
    watch = KeyWatch(file)
    assert not watch.ring.keys
    async with watch.watching(every_s=0.01):
        key, _ = file.create(name="anna", role=Role.CLIENT, now_s=5)
        await until(lambda: key.key_id in watch.ring.keys, "the new key")
        for garbage in ("{", "[" * 100_000, '{"version": 1, "keys": ["a"]}'):
            file.path.write_text(garbage)
            await until(lambda: watch.is_current, "a look at the broken file")
            assert key.key_id in watch.ring.keys
        file.path.unlink()
        await until(lambda: not watch.ring.keys, "no keys without a file")


class FlakyFile(KeyFile):
    """A file whose disk fails at the next reads, as many as told."""

    failures = 0

    def load(self):
        if self.failures:
            self.failures -= 1
            raise KeysError("keys.json: input/output error") from OSError(5, "input/output error")
        return super().load()


def test_watch_reads_again_a_changed_file_whose_disk_failed(tmp_path):
    file = FlakyFile(tmp_path / "keys.json")
    key, _ = file.create(name="anna", role=Role.CLIENT, now_s=5)
    watch = KeyWatch(file)
    file.revoke(key.key_id, 6)
    file.failures = 1
    with pytest.raises(KeysError, match="input/output"):
        watch.refresh()
    watch.refresh()
    assert watch.ring.keys[key.key_id].revoked_at_s == 6
