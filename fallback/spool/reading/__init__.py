"""The side that hands out: lanes, their read-ahead, the index, compaction.

Imports `spool.format` and the values of `spool.writing`.
"""
