"""Sending: whole batches to chosen partitions, and how each of them ended.

Imports `streaming.events` and the package's own words; aiokafka's producer lives here.
"""
