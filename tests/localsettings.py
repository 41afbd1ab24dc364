"""A settings file that points services at local servers, for the command line."""

import json
from collections.abc import Mapping
from pathlib import Path

from vascodb.loaders.registry import CanaryPosition

__all__ = ["write_settings"]

_IMPATIENT = {
    "connect_timeout_s": 1.0,
    "first_byte_timeout_s": 20.0,
    "attempts": 1,
    "backoff_s": 0.0,
    "max_backoff_s": 0.0,
    "per_second": 1000.0,
}


def write_settings(
    path: Path,
    services: Mapping[str, str],
    canaries: Mapping[str, CanaryPosition] | None = None,
    **limits: float,
) -> Path:
    """Write a settings file.

    Parameters
    ----------
    path
        Where to.
    services
        Address by service.
    canaries
        Canary by catalogue, where it is not the registry's.
    limits
        Further settings of all these services.
    """
    lines = []
    for name, address in services.items():
        settings = {"endpoints": [address]} | _IMPATIENT | limits
        lines += [f"[services.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items()), ""]
    for catalog, at in (canaries or {}).items():
        canary = f"{{ ra = {at.ra!r}, dec = {at.dec!r}, radius_arcsec = {at.radius_arcsec!r} }}"
        lines += [f"[catalogs.{catalog}]", f"canary = {canary}", ""]
    path.write_text("\n".join(lines))
    return path
