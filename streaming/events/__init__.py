"""The events and their wire form: types, CloudEvents codec, schemas, packed records. Pure.

Imports `streaming`'s errors and topics; no client of Kafka.
"""
