"""Reading: group members and their slots, offsets, the tail of a compacted topic.

Imports `streaming.events` and the package's own words; aiokafka's consumer lives here.
"""
