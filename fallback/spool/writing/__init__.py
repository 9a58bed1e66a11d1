"""The side that appends: intake, commits, the active segment, the quota.

Imports `spool.format`; runs on the spool's threads but for `intake`.
"""
