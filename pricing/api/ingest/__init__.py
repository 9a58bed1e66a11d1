"""Ride requests and drivers' heartbeats over HTTP.

Imports `api.http`, `writing`, `zones` and `streaming.events`.
"""
