"""The zone processor: reads the input topics, prices every zone at every tick, writes it out.

Imports `surge`, `zones`, `stores`, `writing`, `metrics` and `streaming`; no HTTP but its probes.
"""
