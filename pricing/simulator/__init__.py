"""A city that lives: riders who ask, drivers who answer, hour by hour. Pure: no I/O, no clock.

Imports the words of the domain only. Time is an argument and every random number comes from a
seeded stream, so the same seed gives the same city. The figures (shape of demand, trip times, size
of the fleet) are those of New York's taxis in March 2019; a city with other zones gets the same
hours and the same rules.
"""
