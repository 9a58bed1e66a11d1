"""What is known of Redis, Postgres and Kafka: from calls, from probes, from breakers.

Imports the words of the domain, the rooms that read and write, and `fallback`; nothing here is
on a request's way.
"""
