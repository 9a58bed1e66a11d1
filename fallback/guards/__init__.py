"""What stands around a call: bulkhead, deadline, retry, ramp, single flight.

Imports `fallback`'s own words only; no guard knows another room.
"""
