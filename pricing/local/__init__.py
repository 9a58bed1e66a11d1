"""The service on one machine: its servers and processes, a city's events, what came of them.

Imports `wiring`, `embedded`, `simulator` and below; `demo` and `drill` stand on it.
"""
