"""What lies on the disk: records, segments, cursor, and the port to the files.

Imports no other room of the spool.
"""
