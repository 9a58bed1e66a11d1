"""A city that lives: riders who ask, drivers who answer, hour by hour. Pure: no I/O, no clock.

Time comes in as epoch milliseconds and chance from seeded streams, so the same seed gives the
same city. The figures (shape of demand, trip times, size of the fleet) are those of New York's
taxis in March 2019; a city with other zones gets the same hours and the same rules.
"""
