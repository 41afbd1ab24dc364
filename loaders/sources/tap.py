"""All sources of a cone from a TAP service: VizieR, GAVO, IRSA."""

from dataclasses import dataclass
from typing import Any

from pyvo.dal import TAPService

from vascodb.loaders.client.answers import SourceAnswer, read_votable, source_answer
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CatalogDefinition, SourceBinding
from vascodb.loaders.sources.adql import cone_query

__all__ = ["TapSource"]


@dataclass(frozen=True)
class TapSource:
    """Asks by ADQL, synchronously, for at most the service's row cap.

    Parameters
    ----------
    definition : `CatalogDefinition`
        The catalogue.
    binding : `SourceBinding`
        How the service publishes it.
    settings : `ServiceSettings`
        The service.
    """

    definition: CatalogDefinition
    binding: SourceBinding
    settings: ServiceSettings

    def parameters(self, cone: Cone) -> dict[str, Any]:
        """What is asked, in full, for the evidence."""
        return {"query": cone_query(self.binding, cone), "maxrec": self.settings.row_cap}

    def ask_cone(self, session: EvidenceSession, endpoint: str, cone: Cone) -> SourceAnswer:
        """Ask once; raises `LookupFailure` for anything but a whole, sound answer."""
        asked = self.parameters(cone)
        query = TAPService(endpoint, session=session).create_query(asked["query"], maxrec=asked["maxrec"])
        # The answer as it was sent: pyvo itself only warns of an overflow.
        raw = read_votable(query.submit().content)
        return source_answer(raw, self.definition, self.binding, cone, self.settings.row_cap)
