"""Reading: group members and their slots, offsets, the tail of a compacted topic.

Imports `streaming.events` and the words below it; aiokafka's consumer lives here.
"""
