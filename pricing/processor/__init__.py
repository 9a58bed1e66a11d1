"""The zone processor: reads the input topics, prices every zone at every tick, writes it out.

`slot.py` decides which ticks may be computed (pure), `lanes.py` writes them to each output
until it succeeds, `processor.py` is the loop around both.
"""
