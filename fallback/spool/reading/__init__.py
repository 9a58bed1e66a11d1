"""The side that hands out: lanes, their read-ahead, the index, compaction.

Imports `spool.format`, `spool.writing` and what `spool.startup` recovered.
"""
