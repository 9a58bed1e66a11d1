"""Kafka and the wire: event types and codec, topics, producer, consumer, dead letters.

Knows events, not pricing rules. Imports neither `pricing` nor `fallback`.
"""
