"""STScI's ``/cgi-bin/dss_search``: a cutout of the Digitized Sky Survey as FITS, or an HTML page with status 200."""

import gzip
from collections.abc import Callable
from typing import ClassVar

from servers.http import Request, ServiceServer
from servers.transport import Answer

CutOut = Callable[[float, float, tuple[float, float], str], bytes | None]

_NO_IMAGE = b"""<html><head><title>DSS: error</title></head><body>
<h2>Error</h2><p>The field is not covered by the survey that was asked for.</p></body></html>
"""
_ERROR = b"""<html><head><title>DSS: error</title></head><body>
<h2>Error</h2><p>Could not extract the image: the plate server does not respond.</p></body></html>
"""


class StsciServer(ServiceServer):
    """The cutout service; its address ends with ``dss_search``.

    Parameters
    ----------
    cut_out
        Gives the FITS file for right ascension and declination [deg], width and height [arcmin] and the survey as
        asked for (``poss1_red``); None where there is no image.
    packed
        True to gzip every image, as the service does for ``c=gz``.
    """

    protocol: ClassVar[str] = "stsci"
    base_path: ClassVar[str] = "/cgi-bin/dss_search"

    def __init__(self, cut_out: CutOut, *, packed: bool = False) -> None:
        super().__init__()
        self.cut_out = cut_out
        self.packed = packed

    def answer(self, request: Request, fault: str | None) -> Answer:
        """Answer a request for a cutout."""
        if request.path != self.base_path:
            return Answer(_NO_IMAGE, 404, "text/html")
        if fault == "service_error":
            return Answer(_ERROR, 200, "text/html; charset=ISO-8859-1")
        try:
            ra, dec, width, height = (float(request.first(name)) for name in ("r", "d", "w", "h"))
        except ValueError:
            return Answer(_ERROR, 200, "text/html; charset=ISO-8859-1")
        image = self.cut_out(ra, dec, (width, height), request.first("v"))
        if image is None:
            return Answer(_NO_IMAGE, 200, "text/html; charset=ISO-8859-1")
        if self.packed or request.first("c") == "gz":
            return Answer(gzip.compress(image, mtime=0), 200, "application/x-gzip")
        return Answer(image, 200, "image/x-fits", {"Content-Disposition": 'filename="dss.fits"'})
