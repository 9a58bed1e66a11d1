"""murmur2 as the Java client does it."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import DefaultPartitioner

from streaming.partitioning import murmur2, partition_for

# org.apache.kafka.common.utils.UtilsTest.testMurmur2, as signed Java integers.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), JAVA.items(), ids=repr)
def test_murmur2_equals_the_java_clients(key, signed):
    assert murmur2(key) == signed % 2**32


@pytest.mark.parametrize("length", range(40))
def test_partition_equals_that_of_the_drivers_partitioner(length):
    key = bytes(range(200, 200 + length))
    everywhere = list(range(7))
    assert partition_for(key, 7) == DefaultPartitioner()(key, everywhere, everywhere)
