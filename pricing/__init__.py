"""Equilibrium, the pricing application: the only package that knows `streaming` and `fallback`."""

__version__ = "0.1.0"
