"""Events on their way to Kafka: publisher, spool lanes, dead letters, answers by key, topics.

Imports the words of the domain, `stores`, `fallback` and `streaming`; knows no HTTP.
"""
