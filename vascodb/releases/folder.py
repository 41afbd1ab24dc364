"""The files of a release, found by name anywhere below its folder, plain or compressed."""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vascodb.errors import InputError

__all__ = ["ReleaseFile", "ReleaseFolder"]

_WANTED = re.compile(
    r"(tile_manifest\.csv|RUN_SUMMARY\.txt|survivors\.csv|primary_plate_flags\.csv"
    r"|source_extractor_final_filtered(__dedup)?\.csv|stage_\w+\.csv|stage_\w+_ledger\.json)(\.gz)?"
)
_CHECKSUM_LINE = re.compile(r"([0-9a-f]{64})\s+\*?(\S.*)")


@dataclass(frozen=True)
class ReleaseFile:
    """One file of a release.

    Parameters
    ----------
    name : str
        Without ``.gz``.
    content : bytes
        Uncompressed.
    sha256 : str
        Of that content.
    """

    name: str
    content: bytes
    sha256: str


class ReleaseFolder:
    """The files of a release.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Folder of one release, or of one run; whatever else lies in it is left alone.

    Raises
    ------
    InputError
        If it is no folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        self.folder = folder
        self._paths: dict[str, list[Path]] = {}
        self._read: dict[str, ReleaseFile] = {}
        for path in sorted(folder.rglob("*")):
            if _WANTED.fullmatch(path.name) and path.is_file():
                self._paths.setdefault(path.name.removesuffix(".gz"), []).append(path)

    @property
    def files(self) -> list[ReleaseFile]:
        """What was read so far, by name."""
        return [self._read[name] for name in sorted(self._read)]

    def matching(self, pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
        """Names that a regular expression matches wholly, in order, with the match."""
        for name in sorted(self._paths):
            if match := re.fullmatch(pattern, name):
                yield name, match

    def get(self, name: str) -> ReleaseFile:
        """Read a file that must be there.

        Raises
        ------
        InputError
            If it is missing or damaged, is there twice with different contents, or is not what the
            release's own list of checksums says.
        """
        found = self.find(name)
        if found is None:
            raise InputError(f"{self.folder}: there is no {name} in it; give the folder of one release or run")
        return found

    def find(self, name: str) -> ReleaseFile | None:
        """Read a file that may be missing; None if it is."""
        if name not in self._paths:
            return None
        if name not in self._read:
            paths = self._paths[name]
            copies = [_read(path) for path in paths]
            for path, content in zip(paths[1:], copies[1:], strict=True):
                if content != copies[0]:
                    raise InputError(
                        f"{self.folder}: {name} is there twice with different contents ({paths[0]}, {path}); "
                        "import one run at a time"
                    )
            self._read[name] = ReleaseFile(name, copies[0], hashlib.sha256(copies[0]).hexdigest())
        return self._read[name]


def _read(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: is damaged or cut: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    name = path.name.removesuffix(".gz")
    # Compressed bytes differ with the program that made them; the list of uncompressed contents is the one that holds.
    for sums, listed, data in (("SHA256SUMS.uncompressed", name, content), ("SHA256SUMS", path.name, raw)):
        expected = _checksums(path.parent / sums).get(listed)
        if expected is not None and hashlib.sha256(data).hexdigest() != expected:
            raise InputError(f"{path}: is not the file that {sums} lists; its SHA-256 differs")
    return content


def _checksums(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    matches = (_CHECKSUM_LINE.fullmatch(line.strip()) for line in lines)
    return {match[2]: match[1] for match in matches if match is not None}
