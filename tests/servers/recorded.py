"""Answers of the real services, recorded byte by byte, served at the paths where a test wants them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from servers.http import Request, ServiceServer
from servers.transport import Answer

_TYPES = {
    ".xml": "text/xml", ".vot": "text/xml", ".json": "application/json", ".csv": "text/csv", ".html": "text/html",
    ".txt": "text/plain", ".dat": "text/plain", ".tbl": "text/plain", ".tst": "text/plain",
}  # fmt: skip


@dataclass(frozen=True)
class Recording:
    """A recorded answer: its file, and what was not recorded with it."""

    file: Path
    content_type: str = ""
    status: int = 200


class RecordedServer(ServiceServer):
    """Serves recordings, whatever the parameters.

    Parameters
    ----------
    recordings
        Recordings, or just their files, by path.
    """

    protocol: ClassVar[str] = "recorded"

    def __init__(self, recordings: Mapping[str, Recording | Path]) -> None:
        super().__init__()
        self.recordings = {
            path: each if isinstance(each, Recording) else Recording(each) for path, each in recordings.items()
        }

    def is_data_request(self, request: Request) -> bool:
        """Recordings are not changed: no content faults."""
        return False

    def answer(self, request: Request, fault: str | None) -> Answer:
        """Answer with the bytes of a recording."""
        recording = self.recordings.get(request.path)
        if recording is None:
            return Answer(b"nothing recorded here\n", 404)
        mime = recording.content_type or _TYPES.get(recording.file.suffix, "application/octet-stream")
        return Answer(recording.file.read_bytes(), recording.status, mime)
