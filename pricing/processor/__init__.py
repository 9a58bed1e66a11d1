"""The zone processor: reads the input topics, prices every zone at every tick, writes it out.

Two loops run in it: `processor`, which makes the prices, and `projection`, which carries mode
events and the audit from Kafka into Postgres. Imports `surge`, `zones`, `stores`, `metrics` and
`streaming`; no HTTP but its probes.
"""
