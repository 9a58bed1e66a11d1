"""From events to multipliers: windows, policy, states. Pure: no clock, no driver.

Imports the words of the domain only; `policy` knows no window of events.
"""
