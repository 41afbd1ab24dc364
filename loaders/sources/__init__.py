"""The outside services, one module each: what to ask, and how to read the answer."""

from typing import Any, Protocol

from vascodb.loaders.client.answers import PositionAnswer, Positions, SourceAnswer
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.regions import Cone

__all__ = ["AreaSource", "ListSource"]


class AreaSource(Protocol):
    """Asks a service for all sources of a catalogue in a cone."""

    def parameters(self, cone: Cone) -> dict[str, Any]:
        """What is asked, in full, for the evidence."""
        ...

    def ask_cone(self, session: EvidenceSession, endpoint: str, cone: Cone) -> SourceAnswer:
        """Ask once; raises `LookupFailure` for anything but a whole, sound answer."""
        ...


class ListSource(Protocol):
    """Asks a service for a catalogue's sources near given positions."""

    def parameters(self, positions: Positions, radius_arcsec: float) -> dict[str, Any]:
        """What is asked, in full, for the evidence."""
        ...

    def ask_positions(
        self, session: EvidenceSession, endpoint: str, positions: Positions, radius_arcsec: float
    ) -> PositionAnswer:
        """Ask once; raises `LookupFailure` for anything but a whole, sound answer."""
        ...
