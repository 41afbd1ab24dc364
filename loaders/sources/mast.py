"""All Pan-STARRS sources of a cone from MAST's catalogue service.

astroquery's way to this service measures its own timeout after the answer is there and then raises
an error that is no transport error; so the one request is made here.
"""

from dataclasses import dataclass
from typing import Any

from vascodb.loaders.client.answers import SourceAnswer, read_json, source_answer
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CatalogDefinition, SourceBinding

__all__ = ["MastSource"]

_OPERATORS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt", "=": "eq"}


@dataclass(frozen=True)
class MastSource:
    """Asks for one page that holds as many rows as the service sends at most.

    The service does not say whether there are more: as many rows as fit the page count as cut.

    Parameters
    ----------
    definition : `CatalogDefinition`
        The catalogue.
    binding : `SourceBinding`
        How the service publishes it; the table is ``dr2/mean`` or the like.
    settings : `ServiceSettings`
        The service.
    """

    definition: CatalogDefinition
    binding: SourceBinding
    settings: ServiceSettings

    def parameters(self, cone: Cone) -> dict[str, Any]:
        """What is asked, in full, for the evidence."""
        return {
            "table": self.binding.table,
            "ra": repr(cone.ra_deg),
            "dec": repr(cone.dec_deg),
            "radius": repr(cone.radius_deg),
            "columns": f"[{','.join(self.binding.columns)}]",
            "pagesize": self.settings.row_cap,
        } | {f"{c.column}.{_OPERATORS[c.operator]}": str(c.value) for c in self.binding.where}

    def ask_cone(self, session: EvidenceSession, endpoint: str, cone: Cone) -> SourceAnswer:
        """Ask once; raises `LookupFailure` for anything but a whole, sound answer."""
        asked = self.parameters(cone)
        table = asked.pop("table")
        response = session.get(f"{endpoint.rstrip('/')}/{table}.json", params=asked)
        raw = read_json(response.content)
        return source_answer(raw, self.definition, self.binding, cone, self.settings.row_cap)
