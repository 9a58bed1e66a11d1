"""What the system mode means here: its inputs, and what each level changes.

`inputs.py` and `judgement.py` (what is watched, and how dependencies are judged), `surge.py`
(prices), `policy.py` (every knob of a level), `signals.py` (reads the inputs), `ramps.py` (load
for dependencies that are back), `admission.py` (which requests are taken), `journal.py` (tells
the world), `fleet.py` (hears of the others).
"""
