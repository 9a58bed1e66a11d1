"""The one way in which a configuration refuses a value."""

from __future__ import annotations


def check_field(config: object, name: str, holds: bool) -> None:
    """Refuse a configuration whose field breaks its rule.

    Raises:
        ValueError: `holds` is false; the text names the field and the bad value.
    """
    if not holds:
        raise ValueError(f"{name}={getattr(config, name)!r} is out of range")
