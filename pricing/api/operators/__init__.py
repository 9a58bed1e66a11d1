"""What operators do over HTTP: override, breakers, dead letters, looking back.

Imports `api.http`, `api.health`, `access`, `mode` and `stores`.
"""
