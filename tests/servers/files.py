"""Static files with Range, If-Range, ETag and HEAD, as archives serve whole plates and footprints."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from servers.http import Request, ServiceServer
from servers.transport import Answer

_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
_TYPES = {".fits": "image/fits", ".json": "application/json", ".csv": "text/csv", ".xml": "text/xml"}
_MODIFIED = "Sun, 14 Jan 2024 08:00:00 GMT"


class FileServer(ServiceServer):
    """Files by their path.

    Parameters
    ----------
    files
        Content, or a file that holds it, by path (``/data/DSS/images/x.fits``).
    ranges
        False for a server that ignores Range and always sends all.
    """

    protocol: ClassVar[str] = "files"

    def __init__(self, files: Mapping[str, bytes | Path] | None = None, *, ranges: bool = True) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.ranges = ranges
        for path, source in (files or {}).items():
            self.put(path, source)

    def put(self, path: str, source: bytes | Path) -> None:
        """Serve a file, or another content from now on."""
        self.files["/" + path.lstrip("/")] = source if isinstance(source, bytes) else source.read_bytes()

    def is_data_request(self, request: Request) -> bool:
        """Files have no content faults."""
        return False

    def answer(self, request: Request, fault: str | None) -> Answer:
        """Answer with a file or the part asked for."""
        content = self.files.get(request.path)
        if content is None:
            return Answer(b"<html><body>Not Found</body></html>", 404, "text/html")
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        headers = {"ETag": etag, "Last-Modified": _MODIFIED}
        mime = _TYPES.get(Path(request.path).suffix, "application/octet-stream")
        if request.headers.get("If-None-Match") == etag:
            return Answer(b"", 304, mime, headers)
        if not self.ranges:
            return Answer(content, 200, mime, headers)
        headers["Accept-Ranges"] = "bytes"
        match = _RANGE.match(request.headers.get("Range", ""))
        if match is None or request.headers.get("If-Range", etag) not in {etag, _MODIFIED}:
            return Answer(content, 200, mime, headers)
        first, last = _bounds(match[1], match[2], len(content))
        if first > last:
            return Answer(b"", 416, mime, {**headers, "Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return Answer(content[first : last + 1], 206, mime, headers)


def _bounds(first: str, last: str, length: int) -> tuple[int, int]:
    """Return first and last byte of a range; ``-n`` means the last n bytes."""
    if not first:
        return max(0, length - int(last or 0)), length - 1
    return int(first), min(int(last) if last else length - 1, length - 1) if int(first) < length else -1
