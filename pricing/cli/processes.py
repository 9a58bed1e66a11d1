"""`equilibrium api`, `processor`, `migrate` and `check-config`: the service's own processes."""

from __future__ import annotations

from pricing.cli.settings import with_settings


def api() -> int:
    """Serve prices and take events over HTTP, until SIGTERM."""
    from pricing.cli.process_run import run_api

    return with_settings(run_api)


def processor() -> int:
    """Turn the events into prices, until SIGTERM."""
    from pricing.cli.process_run import run_processor

    return with_settings(run_processor)


def migrate() -> int:
    """Bring the database's schema and the topics up to date; safe side by side, and again."""
    from pricing.cli.process_run import run_migrate

    return with_settings(run_migrate)


def check_config() -> int:
    """Show the effective settings, secrets masked, and where each came from."""
    from pricing.cli.process_run import show_config

    return with_settings(show_config)
