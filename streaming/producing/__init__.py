"""Sending: whole batches to chosen partitions, and how each of them ended.

Imports `streaming.events`, `streaming.topics` and the words below them; aiokafka's producer
lives here.
"""
