"""Opening a directory that a former process left, and looking into one that is in use.

Imports `spool.format`, `spool.writing` and `spool.reading`.
"""
