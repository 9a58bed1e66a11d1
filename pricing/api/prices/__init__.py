"""Prices and zones over HTTP, by router and by the fast path.

Imports `api.http`, `reading`, `zones` and `metrics`.
"""
