"""Health and the system mode over HTTP, for probes, people and machines.

Imports `api.http`, `health`, `mode` and `metrics`.
"""
