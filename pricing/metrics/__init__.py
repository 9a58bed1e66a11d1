"""Every metric, one module a subject: its collectors, and the observers that feed them.

Imports `health`, the rooms below it, `fallback` and the Prometheus client.
"""
