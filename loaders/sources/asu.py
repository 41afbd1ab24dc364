"""All sources of a cone from VizieR's ASU interface, or any of its mirrors."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from astropy import units as u
from astropy.coordinates import SkyCoord
from astroquery.vizier import VizierClass

from vascodb.loaders.client.answers import SourceAnswer, read_votable, source_answer
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CatalogDefinition, SourceBinding

__all__ = ["AsuSource"]


@dataclass(frozen=True)
class AsuSource:
    """Asks as astroquery does, with the number of rows, the columns and the conditions all said.

    Parameters
    ----------
    definition : `CatalogDefinition`
        The catalogue.
    binding : `SourceBinding`
        How the service publishes it.
    settings : `ServiceSettings`
        The service; its endpoints are hosts, such as ``https://vizier.cds.unistra.fr``.
    """

    definition: CatalogDefinition
    binding: SourceBinding
    settings: ServiceSettings

    def parameters(self, cone: Cone) -> dict[str, Any]:
        """What is asked, in full, for the evidence."""
        return {
            "source": self.binding.table,
            "columns": list(self.binding.columns),
            "filters": _filters(self.binding),
            "row_limit": self.settings.row_cap,
            "cone": str(cone),
        }

    def ask_cone(self, session: EvidenceSession, endpoint: str, cone: Cone) -> SourceAnswer:
        """Ask once; raises `LookupFailure` for anything but a whole, sound answer."""
        asked = self.parameters(cone)
        # Left to itself the service sends 50 rows and no word about the others.
        vizier = _vizier_at(endpoint)(
            columns=asked["columns"], column_filters=asked["filters"], row_limit=asked["row_limit"]
        )
        vizier._session = session
        # Small radii in arcsec: the service does not read 3e-06.
        radius = cone.radius_deg * u.deg if cone.radius_deg > 1 / 60 else cone.radius_deg * 3600.0 * u.arcsec
        response = vizier.query_region_async(
            SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg", frame="icrs"),
            radius=radius,
            catalog=self.binding.table,
            frame="icrs",
            cache=False,
        )
        raw = read_votable(response.content)
        return source_answer(raw, self.definition, self.binding, cone, self.settings.row_cap)


def _filters(binding: SourceBinding) -> dict[str, str]:
    """Conditions as the service reads them; those on one column go together."""
    filters: dict[str, str] = {}
    for condition in binding.where:
        wanted = f"{condition.operator}{condition.value}"
        earlier = filters.get(condition.column)
        filters[condition.column] = f"{earlier} & {wanted}" if earlier else wanted
    return filters


@cache
def _vizier_at(endpoint: str) -> type[Any]:
    """The library's class for one host, which may be a mirror; its own setting is one for all threads."""

    class Vizier(VizierClass):  # type: ignore[misc]
        def _server_to_url(self, return_type: str = "votable") -> str:
            return f"{endpoint.rstrip('/')}/viz-bin/{return_type}"

    return Vizier
