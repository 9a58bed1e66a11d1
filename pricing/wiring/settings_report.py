"""Settings as people see them: what is in force and from where, and which names are typos."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import SecretStr

from pricing.wiring.settings import API_KEY, PREFIX, Settings
from pricing.wiring.settings_checks import SCHEMES

_URL_SCHEMES = frozenset(scheme for schemes in SCHEMES.values() for scheme in schemes)


def unknown_settings(environment: Mapping[str, str]) -> list[str]:
    """Names with our prefix that no setting has: most often a typo."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {API_KEY}
    return sorted(
        name for name in environment if name.startswith(PREFIX) and name.upper() not in known
    )


def effective(settings: Settings) -> list[tuple[str, str, str]]:
    """Every setting as (variable, value with secrets masked, where it came from)."""
    rows = []
    for name in Settings.model_fields:
        value = getattr(settings, name)
        shown = _masked(value.get_secret_value()) if isinstance(value, SecretStr) else str(value)
        variable = f"{PREFIX}{name.upper()}"
        if variable in os.environ:
            origin = "environment"
        else:
            origin = ".env or command line" if name in settings.model_fields_set else "default"
        rows.append((variable, shown, origin))
    return rows


def _masked(secret: str) -> str:
    """A URL without its password and its query, which may hold one; anything else not at all."""
    scheme, separator, rest = secret.partition("://")
    if not separator or scheme not in _URL_SCHEMES:
        return "********"
    credentials, at, address = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    host, question, _ = address.partition("?")
    query = "?********" if question else ""
    return f"{scheme}://{user}{':********' if colon else ''}{at}{host}{query}"
