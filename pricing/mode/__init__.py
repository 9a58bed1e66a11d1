"""The system mode: its inputs, what each level changes, and who is told of a change.

Imports `metrics`, `health` and the rooms below them; the pure reducer is `fallback.mode`.
"""
