"""VizieR by its ASU interface: ``/viz-bin/votable`` and ``/viz-bin/asu-tsv``, errors with status 200."""

from collections.abc import Sequence
from typing import ClassVar
from xml.sax.saxutils import escape, quoteattr

from astropy.table import Table

from servers import content
from servers.asu import AsuError, Question, parse_asu_body, read, select
from servers.http import Parameters, Request, ServiceServer, Upload
from servers.skytable import SkyTable
from servers.tableformats import Info, fields_of, tabledata
from servers.transport import Answer

_XML = "text/xml;charset=UTF-8"
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xmlns="http://www.ivoa.net/xml/VOTable/v1.3"
  xsi:schemaLocation="http://www.ivoa.net/xml/VOTable/v1.3 http://www.ivoa.net/xml/VOTable/v1.3">
 <DESCRIPTION>
   VizieR Astronomical Server vizier.cds.unistra.fr
    Date: 2026-07-26T12:24:32 [V7.5.6]
   In case of problem, please report to:	cds-question@unistra.fr
 </DESCRIPTION>
<INFO name="service_protocol" value="ASU">  IVOID of the protocol through which the data was retrieved</INFO>
<INFO name="server_software" value="VizieR/7.5.6">  Software version</INFO>
"""


class VizierServer(ServiceServer):
    """VizieR over tables in memory; its address is that of the host, without ``/viz-bin``.

    Parameters
    ----------
    tables
        Tables such as ``I/355/gaiadr3``; ``-source=I/355`` asks for all that begin so.
    hard_cap
        Most rows given for ``-out.max=unlimited`` or a larger number [rows], None for no limit.
    empty_has_table
        Whether an answer without rows still declares its columns. The service has done both.

    Notes
    -----
    Fifty rows are given where ``-out.max`` is not set. VOTables that were cut end with QUERY_STATUS OVERFLOW;
    ``asu-tsv`` does not tell.
    """

    protocol: ClassVar[str] = "vizier"

    def __init__(
        self, tables: Sequence[SkyTable], *, hard_cap: int | None = None, empty_has_table: bool = True
    ) -> None:
        super().__init__()
        self.tables = {table.name: table for table in tables}
        self.hard_cap = hard_cap
        self.empty_has_table = empty_has_table

    def parse_body(self, body: bytes, content_type: str) -> tuple[Parameters, dict[str, Upload]]:
        """Return parameters of a form or of an ASU script."""
        return parse_asu_body(body, content_type)

    def answer(self, request: Request, fault: str | None) -> Answer:
        """Answer ``/viz-bin/votable`` or ``/viz-bin/asu-tsv``."""
        if request.path not in {"/viz-bin/votable", "/viz-bin/asu-tsv"}:
            return Answer(b"<html><body>Not found</body></html>", 404, "text/html")
        as_votable = request.path.endswith("votable")
        error = _error_votable if as_votable else _error_tsv
        if fault == "service_error":
            return error("VizieR database not available")
        try:
            question = read(request)
            found = [self._find(source) for source in question.sources]
        except AsuError as problem:
            return error(str(problem))
        resources = [self._table(sky, question, fault) for group in found for sky in group]
        if as_votable:
            return Answer(
                (_HEAD + _maximum(question) + "".join(r.xml for r in resources) + "</VOTABLE>\n").encode(), 200, _XML
            )
        text = _TSV_HEAD + "".join(r.tsv for r in resources) + "#END#\n"
        return Answer(text.encode(), 200, "text/tab-separated-values")

    def _find(self, source: str) -> list[SkyTable]:
        name = source.strip("/")
        found = [sky for key, sky in self.tables.items() if key == name or key.startswith(f"{name}/")]
        if not found:
            raise AsuError(f"Table or Catalog not found: {source}")
        return found

    def _table(self, sky: SkyTable, question: Question, fault: str | None) -> "_Resource":
        warnings: list[str] = []
        right = select(sky, question, warnings)
        caps = [cap for cap in (question.maximum, self.hard_cap) if cap is not None]
        cap = min(caps) if caps else None
        rows = content.spoil_rows(right, fault, sky.ra_column, sky.dec_column)
        if fault == "exactly_cap":
            rows, overflow = content.exactly(rows, cap), False
        elif fault == "overflow":
            rows, overflow = content.half(rows)[:cap], True
        else:
            overflow = cap is not None and len(rows) > cap
            rows = rows[:cap]
        shown = len(rows) > 0 or self.empty_has_table or fault == "header_only"
        return _Resource(sky, rows, overflow, warnings, shown, fault != "header_only")


class _Resource:
    """One table of an answer, in either format."""

    def __init__(
        self, sky: SkyTable, rows: Table, overflow: bool, warnings: list[str], shown: bool, has_data: bool
    ) -> None:
        self.catalogue = sky.name.rsplit("/", 1)[0]
        self.name = sky.name
        self.rows = rows
        self.overflow = overflow
        self.warnings = warnings
        self.shown = shown
        self.has_data = has_data

    @property
    def xml(self) -> str:
        fields = fields_of(self.rows)
        identifier = self.name.replace("/", "_").replace("+", "_")
        parts = [
            f'<RESOURCE ID="yCat_{self.catalogue.replace("/", "_")}" name={quoteattr(self.catalogue)} type="results">\n'
        ]
        if self.shown:
            parts.append(f'  <TABLE ID="{identifier}" name={quoteattr(self.name)}>\n')
            parts += [f"    {each.declaration(fixed_text=False)}\n" for each in fields]
            parts += [f"<DATA>{tabledata(fields)}</DATA>\n"] if self.has_data else []
            parts.append("</TABLE>\n")
        infos = [Info("matches", str(len(self.rows)), "matching records")]
        infos += [Info("Warning", warning) for warning in self.warnings]
        if self.overflow:
            cut = f"truncated result (maxtup={len(self.rows)})"
            infos += [Info("Warning", cut), Info("QUERY_STATUS", "OVERFLOW", cut)]
        return "".join([*parts, *(f"{info.xml()}\n" for info in infos), "</RESOURCE>\n"])

    @property
    def tsv(self) -> str:
        fields = fields_of(self.rows)
        names = [str(each.column.name) for each in fields]
        lines = [f"#RESOURCE=yCat_{self.catalogue.replace('/', '_')}", f"#Name: {self.catalogue}",
                 f"#Table\t{self.name.replace('/', '_')}:", f"#Name: {self.name}"]  # fmt: skip
        lines += [f"#Warning\t{warning}" for warning in self.warnings]
        lines += [f"#Column\t{name}\t(a)\t" for name in names]
        if self.shown:
            lines += ["", "\t".join(names), "\t".join(each.unit for each in fields)]
            lines.append("\t".join("-" * max(1, len(name)) for name in names))
            lines += ["\t".join(row) for row in zip(*(each.texts() for each in fields), strict=True)]
        return "\n".join(lines) + "\n\n"


_TSV_HEAD = """#
#   VizieR Astronomical Server vizier.cds.unistra.fr
#    Date: 2026-07-26T12:24:32 [V7.5.6]
#   In case of problem, please report to:	cds-question@unistra.fr
#
#INFO	service_protocol=ASU
"""


def _maximum(question: Question) -> str:
    return f'<INFO name="MaxTuples" value="{question.maximum or "unlimited"}" />\n'


def _error_votable(message: str) -> Answer:
    body = (
        f'{_HEAD}<INFO ID="Error" name="Error" value={quoteattr(message)}/>\n'
        f'<INFO name="Error" value=" "/>\n<INFO name="QUERY_STATUS" value="ERROR">\n\n {escape(message)}\n</INFO>\n'
        "<RESOURCE>\n</RESOURCE>\n</VOTABLE>\n"
    )
    return Answer(body.encode(), 200, _XML)


def _error_tsv(message: str) -> Answer:
    return Answer(
        f"{_TSV_HEAD}#INFO\tError={message}\n#INFO\tQUERY_STATUS=ERROR\n".encode(), 200, "text/tab-separated-values"
    )
