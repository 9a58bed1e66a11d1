"""The surge policy: its file, its version, and its stages from counts to a multiplier. Pure.

Imports the words of the domain and the standard library; the windows above import it.
"""
