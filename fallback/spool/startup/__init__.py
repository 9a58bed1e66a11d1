"""Opening a directory that a former process left, and looking into one that is in use.

Imports `spool.format` and `spool.writing`; the reading side begins at what it found.
"""
