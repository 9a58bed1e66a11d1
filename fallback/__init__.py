"""Resilience without domain words: knows bytes and callables, no Kafka, no SQL, no price.

Imports neither `pricing` nor `streaming`.
"""
