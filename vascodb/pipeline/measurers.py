"""Measurers of pixels, by the stage functions that need them."""

from collections.abc import Mapping

from vascodb.db import Database
from vascodb.pipeline.judging import Measurer
from vascodb.profiles import Profile

__all__ = ["pixel_measurers"]


def pixel_measurers(database: Database, profile: Profile) -> Mapping[str, Measurer]:
    """Measurers that a profile's stages need beside SPREAD_MODEL's."""
    return {}
