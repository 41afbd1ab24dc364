"""All Pan-STARRS sources of a cone from MAST's catalogue service.

astroquery's way to this service measures its own timeout after the answer is there and then raises
an error that is no transport error; so the one request is made here.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from vascodb.loaders.client.answers import SourceAnswer, read_json, source_answer
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CatalogDefinition, SourceBinding

__all__ = ["MastSource"]

_OPERATORS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt", "=": "eq"}


@dataclass(frozen=True)
class MastSource:
    """Asks for one page that holds as many rows as the service sends at most.

    The service does not say whether there are more: as many rows as fit the page count as cut, and so do
    fewer if there is one behind the last of them, which is asked for by its number.

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
        url = f"{endpoint.rstrip('/')}/{table}.json"
        raw = read_json(session.get(url, params=asked).content)
        answer = source_answer(raw, self.definition, self.binding, cone, self.settings.row_cap)
        if answer.rows_in:
            evidence = session.last
            if _is_there(session, url, asked | {"pagesize": 1, "page": answer.rows_in + 1}):
                raise LookupFailure(Cause.OVERFLOW, f"{answer.rows_in} rows came, but there are more")
            # The answer, not what was asked beside it, is what goes on record.
            session.exchanges.append(evidence)
        return answer


def _is_there(session: EvidenceSession, url: str, page: dict[str, Any]) -> bool:
    """Whether a page has rows. Their order changes from page to page, but not how many there are."""
    try:
        return bool(read_json(session.get(url, params=page).content).rows.num_rows)
    except LookupFailure as failure:
        if failure.http_status == HTTPStatus.NOT_FOUND:
            return False
        raise
