"""`python -m pricing` is `equilibrium`."""

from pricing.cli.app import main

main()
