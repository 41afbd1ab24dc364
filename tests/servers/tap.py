"""A TAP 1.1 service as TAPVizieR, IRSA and GAVO run them: sync, async, uploads, row caps."""

import io
import re
import time
import urllib.parse
from collections.abc import Sequence
from typing import ClassVar
from xml.sax.saxutils import escape, quoteattr

from astropy.io.votable import parse_single_table
from astropy.table import Table

from servers import content, uws
from servers.adql import AdqlError
from servers.adqlrun import Found, run
from servers.http import Request, ServiceServer
from servers.skytable import SkyTable
from servers.tableformats import VOTABLE_TYPE, Info, csv, error_votable, fields_of, votable
from servers.transport import Answer

_DEFAULT_TYPE = f"{VOTABLE_TYPE};serialization=binary2"
_FORMATS = {
    "": (_DEFAULT_TYPE, "binary2"), "votable": (_DEFAULT_TYPE, "binary2"), "votable/b2": (_DEFAULT_TYPE, "binary2"),
    VOTABLE_TYPE: (_DEFAULT_TYPE, "binary2"), f"{VOTABLE_TYPE};serialization=binary2": (_DEFAULT_TYPE, "binary2"),
    "text/xml": ("text/xml", "tabledata"), "votable/td": (f"{VOTABLE_TYPE};serialization=tabledata", "tabledata"),
    f"{VOTABLE_TYPE};serialization=tabledata": (f"{VOTABLE_TYPE};serialization=tabledata", "tabledata"),
    "csv": ("text/csv;header=present", "csv"), "text/csv": ("text/csv;header=present", "csv"),
    "text/csv;header=present": ("text/csv;header=present", "csv"),
}  # fmt: skip
_OVERFLOW = Info("QUERY_STATUS", "OVERFLOW")


class TapServer(ServiceServer):
    """A TAP service over tables in memory; its address is ``server.url``.

    Parameters
    ----------
    tables
        Tables it publishes, by their names.
    sync_cap, async_cap
        Most rows an answer holds, whatever MAXREC says [rows]; None for no limit. More are cut off, which a
        VOTable says with OVERFLOW and a CSV does not say at all.
    upload_limit
        Most rows an uploaded table may have; more are refused.
    queued_s, executing_s
        How long jobs stay in these phases [s].
    """

    protocol: ClassVar[str] = "tap"
    base_path: ClassVar[str] = "/tap"

    def __init__(
        self,
        tables: Sequence[SkyTable],
        sync_cap: int | None = None,
        upload_limit: int | None = None,
        *,
        async_cap: int | None = None,
        queued_s: float = 0.0,
        executing_s: float = 0.0,
    ) -> None:
        super().__init__()
        self.tables = {table.name: table for table in tables}
        self.sync_cap = sync_cap
        self.async_cap = async_cap
        self.upload_limit = upload_limit
        self.queued_s = queued_s
        self.executing_s = executing_s
        self.jobs: dict[str, uws.Job] = {}

    def is_data_request(self, request: Request) -> bool:
        """Tell whether a query comes with the request: to sync, or as a new job."""
        return request.path in {f"{self.base_path}/sync", f"{self.base_path}/async"} and bool(request.first("QUERY"))

    def has_body(self, request: Request) -> bool:
        """Tell whether the answer is more than a redirect."""
        return request.method == "GET" or request.path == f"{self.base_path}/sync"

    def answer(self, request: Request, fault: str | None) -> Answer:
        """Answer a request to one of the service's resources."""
        resource = request.path.removeprefix(self.base_path).strip("/")
        if resource == "sync":
            return self._query(request, fault, self.sync_cap)
        if resource == "async" or resource.startswith("async/"):
            return self._async(request, fault, resource.split("/")[1:])
        if resource == "availability":
            return _xml('<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">'
                        "<vosi:available>true</vosi:available></vosi:availability>")  # fmt: skip
        if resource == "capabilities":
            return _xml(self._capabilities())
        if resource == "tables":
            return _xml(self._tableset())
        return Answer(b"no such resource\n", 404)

    def _query(self, request: Request, fault: str | None, cap: int | None) -> Answer:
        if fault == "service_error":
            return Answer(error_votable(content.SERVICE_ERROR), 200, VOTABLE_TYPE)
        try:
            mime, serialization = self._format(request)
            maxrec = _integer(request.first("MAXREC")) if request.first("MAXREC") else None
            if request.first("LANG", "ADQL").upper() not in {"ADQL", "ADQL-2.0", "ADQL-2.1"}:
                raise AdqlError(f"LANG {request.first('LANG')} is not known")
            if not request.first("QUERY"):
                raise AdqlError("parameter QUERY is missing")
            found = run(request.first("QUERY"), self.tables, self._uploads(request))
        except AdqlError as error:
            return Answer(error_votable(str(error)), 400, VOTABLE_TYPE)
        caps = [limit for limit in (maxrec, cap) if limit is not None]
        rows, overflow = _capped(found, min(caps) if caps else None, fault)
        if serialization == "csv":
            return Answer(csv(rows), 200, mime)
        before = (Info("QUERY_STATUS", "OK"), Info("QUERY", request.first("QUERY")))
        body = votable(
            rows,
            serialization=serialization,
            data=fault != "header_only",
            before=before,
            after=(_OVERFLOW,) if overflow else (),
        )
        return Answer(body, 200, mime)

    def _format(self, request: Request) -> tuple[str, str]:
        asked = request.first("RESPONSEFORMAT") or request.first("FORMAT")
        known = _FORMATS.get(re.sub(r"\s", "", asked).lower())
        if known is None:
            raise AdqlError(f"response format {asked!r} is not known")
        return known

    def _uploads(self, request: Request) -> dict[str, SkyTable]:
        uploads = {}
        for each in ";".join(request.all("UPLOAD")).split(";"):
            if not each:
                continue
            name, _, source = each.partition(",")
            upload = request.files.get(source.removeprefix("param:"))
            if not source.startswith("param:") or upload is None:
                raise AdqlError(f"upload {each!r}: only tables sent along (param:NAME) are accepted")
            table = _read_upload(upload.content)
            if self.upload_limit is not None and len(table) > self.upload_limit:
                raise AdqlError(f"upload of {len(table)} rows; at most {self.upload_limit} are accepted")
            uploads[name] = SkyTable(name, table, *_position_columns(table))
        return uploads

    # UWS

    def _async(self, request: Request, fault: str | None, path: list[str]) -> Answer:
        base = f"{self.url}/async"
        if not path:
            if request.method == "GET":
                return Answer(uws.job_list(list(self.jobs.values()), base), 200, "text/xml")
            job = self._new_job(request, fault)
            return _see_other(f"{base}/{job.identifier}")
        found = self.jobs.get(path[0])
        if found is None:
            return Answer(b"no such job\n", 404)
        if request.method == "DELETE" or request.first("ACTION").upper() == "DELETE":
            del self.jobs[path[0]]
            return _see_other(base)
        return self._job(request, found, path[1:], f"{base}/{found.identifier}")

    def _new_job(self, request: Request, fault: str | None) -> uws.Job:
        parameters = {name.lower(): value for name, value in request.parameters if name.upper() != "PHASE"}
        job = uws.Job(parameters, lambda: self._query(request, fault, self.async_cap), self.queued_s, self.executing_s)
        self.jobs[job.identifier] = job
        if request.first("PHASE").upper() == "RUN":
            job.run()
        return job

    def _job(self, request: Request, job: uws.Job, path: list[str], url: str) -> Answer:
        if request.method == "POST":
            if request.first("PHASE").upper() == "RUN":
                job.run()
            elif request.first("PHASE").upper() == "ABORT":
                job.abort()
            return _see_other(url)
        if path == ["results", "result"]:
            if job.phase == "COMPLETED" and job.result is not None:
                return job.result
            return Answer(b"no result\n", 404)
        if path == ["error"] and job.phase == "ERROR" and job.result is not None:
            return Answer(job.result.body, 200, VOTABLE_TYPE)
        if not path and request.first("WAIT"):
            uws.wait_for_change(job, request.first("PHASE"), float(request.first("WAIT")), self._stopping)
        if not path or path == ["results"]:
            return Answer(job.document(url), 200, "text/xml")
        texts = {"phase": job.phase, "executionduration": "3600", "owner": "",
                 "quote": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)),
                 "destruction": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 172_800)),
                 "parameters": urllib.parse.urlencode(job.parameters)}  # fmt: skip
        text = texts.get(path[0])
        return Answer(b"no such resource\n", 404) if text is None else Answer(text.encode())

    # VOSI

    def _capabilities(self) -> str:
        limit = f'<outputLimit><hard unit="row">{self.async_cap or self.sync_cap or 2_000_000}</hard></outputLimit>'
        interfaces = "".join(
            f'<capability standardID="ivo://ivoa.net/std/VOSI#{name}"><interface xsi:type="vs:ParamHTTP" role="std">'
            f'<accessURL use="full">{self.url}/{name}</accessURL></interface></capability>'
            for name in ("capabilities", "availability", "tables")
        )
        return (
            '<cap:capabilities xmlns:cap="http://www.ivoa.net/xml/VOSICapabilities/v1.0" '
            'xmlns:tr="http://www.ivoa.net/xml/TAPRegExt/v1.0" xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            f'{interfaces}<capability standardID="ivo://ivoa.net/std/TAP" xsi:type="tr:TableAccess">'
            f'<interface xsi:type="vs:ParamHTTP" role="std" version="1.1"><accessURL use="base">{self.url}</accessURL>'
            "</interface><language><name>ADQL</name>"
            '<version ivo-id="ivo://ivoa.net/std/ADQL#v2.0">2.0</version></language>'
            '<outputFormat ivo-id="ivo://ivoa.net/std/TAPRegExt#output-votable-binary2">'
            f"<mime>{_DEFAULT_TYPE}</mime><alias>votable/b2</alias></outputFormat>"
            "<outputFormat><mime>text/csv;header=present</mime><alias>csv</alias></outputFormat>"
            '<uploadMethod ivo-id="ivo://ivoa.net/std/TAPRegExt#upload-inline"/>'
            f"{limit}</capability></cap:capabilities>"
        )

    def _tableset(self) -> str:
        tables = ""
        for name, sky in self.tables.items():
            columns = "".join(
                f"<column><name>{escape(each.column.name)}</name><unit>{escape(str(each.column.unit or ''))}</unit>"
                f"<ucd>{escape(str(each.column.meta.get('ucd', '')))}</ucd></column>"
                for each in fields_of(sky.table[:0])
            )
            tables += f"<table><name>{escape(_quoted(name))}</name>{columns}</table>"
        return (
            '<vosi:tableset xmlns:vosi="http://www.ivoa.net/xml/VOSITables/v1.0" '
            f"xmlns:xsi={quoteattr('http://www.w3.org/2001/XMLSchema-instance')}>"
            f"<schema><name>default</name>{tables}</schema></vosi:tableset>"
        )


def _capped(found: Found, cap: int | None, fault: str | None) -> tuple[Table, bool]:
    """Return the rows an answer holds and whether it says that there are more."""
    rows = content.spoil_rows(found.table, fault, found.ra_column, found.dec_column)
    if fault == "overflow":
        return content.half(rows)[:cap], True
    if fault == "exactly_cap":
        return content.exactly(rows, cap), False
    return (rows, False) if cap is None or len(rows) <= cap else (rows[:cap], True)


def _read_upload(document: bytes) -> Table:
    try:
        return parse_single_table(io.BytesIO(document)).to_table(use_names_over_ids=True)
    except (ValueError, IndexError, TypeError) as error:
        raise AdqlError(f"the uploaded table is no VOTable: {error}") from error


def _position_columns(table: Table) -> tuple[str, str]:
    """Guess the columns with positions; a query that names others is served all the same."""
    by_name = {name.lower(): name for name in table.colnames}
    for ra, dec in (("ra", "dec"), ("raj2000", "dej2000"), ("ra_icrs", "de_icrs")):
        if ra in by_name and dec in by_name:
            return by_name[ra], by_name[dec]
    return "", ""


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise AdqlError(f"MAXREC {text!r} is no number") from None


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name) else f'"{name}"'


def _see_other(url: str) -> Answer:
    return Answer(b"", 303, "text/plain", {"Location": url})


def _xml(document: str) -> Answer:
    return Answer(f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n'.encode(), 200, "text/xml")
