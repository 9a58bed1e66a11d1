"""The events and their wire form: types, CloudEvents codec, schemas, packed records. Pure.

Imports `streaming.errors` alone; no client of Kafka.
"""
