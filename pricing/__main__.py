"""`python -m pricing` is `equilibrium`."""

from pricing.cli import main

main()
