"""Resilience without domain words: knows bytes and callables, no Kafka, no SQL, no price.

Imports neither `pricing` nor `streaming`. The rooms: `pump` drains the `spool` into a sink; `mode`
says how bad things are; `breaker` and `guards` stand around a call. The files at the top are words
that all of them share, and import nothing of the rooms.
"""
