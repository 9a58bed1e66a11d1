"""The HTTP API: the app, its server, and what happens around every request.

Imports its own rooms and every room below it; only `wiring` and what stands above import it.
"""
