"""Redis and Postgres: one adapter a server, its errors translated, its SQL by name.

Imports the words of the domain, `streaming.events` and the drivers; nothing else reaches a
driver of a store.
"""
