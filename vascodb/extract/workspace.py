"""The folder one image is extracted in: the image under a plain name, and the files the tools ask for."""

import gzip
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from vascodb.errors import InputError
from vascodb.extract.config import ExtractionConfig, neural_network_path
from vascodb.extract.quiet_fits import open_quietly

__all__ = ["Workspace", "open_workspace"]

_GZIP_MAGIC = b"\x1f\x8b"
_FILTER_FILE = "detection.conv"
_NEURAL_NETWORK_FILE = "star.nnw"


@dataclass(frozen=True)
class Workspace:
    """A folder that is ready for runs on one image.

    Parameters
    ----------
    image : `~pathlib.Path`
        The image as the user named it, for messages.
    folder : `~pathlib.Path`
        Working directory of the tools; nothing is written elsewhere.
    fits_name : str
        The image as the tools are to name it: a plain name within ``folder``, primary HDU only.
    """

    image: Path
    folder: Path
    fits_name: str

    def write_keys(self, name: str, keys: Mapping[str, str]) -> None:
        """Write a configuration file of a tool."""
        self._write(name, (f"{key} {value}" for key, value in keys.items()))

    def write_columns(self, name: str, columns: Iterable[str]) -> None:
        """Write SExtractor's list of output columns."""
        self._write(name, columns)

    def write_filter(self, config: ExtractionConfig) -> str:
        """Write the detection filter and return its file name."""
        _replace(self.folder / _FILTER_FILE, config.filter.text())
        return _FILTER_FILE

    def link_neural_network(self) -> str:
        """Link to the installed neural network of CLASS_STAR and return the link's name."""
        _link(self.folder / _NEURAL_NETWORK_FILE, neural_network_path())
        return _NEURAL_NETWORK_FILE

    def _write(self, name: str, lines: Iterable[str]) -> None:
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def open_workspace(image: Path, workdir: Path) -> Workspace:
    """Make a folder ready for extracting an image.

    A link with a plain name stands for the image, because SExtractor splits names at spaces and brackets; a
    gzip-compressed image is decompressed beside it. Doing it again for the same image costs nothing.

    Parameters
    ----------
    image : `~pathlib.Path`
        FITS file whose primary HDU is a 2-d image; may be gzip-compressed.
    workdir : `~pathlib.Path`
        Folder for working files, made if needed.

    Returns
    -------
    `Workspace`

    Raises
    ------
    InputError
        The image does not exist, is no FITS file, is cut short, or has no 2-d image in its primary HDU.
    """
    try:
        state = image.stat()
        with image.open("rb") as stream:
            compressed = stream.read(2) == _GZIP_MAGIC
    except OSError as error:
        raise InputError(f"{image}: cannot be read: {error.strerror}; check the path") from error
    workdir.mkdir(parents=True, exist_ok=True)
    source = f"{image.resolve()}\0{state.st_size}\0{state.st_mtime_ns}"
    staged = workdir / f"image-{hashlib.sha256(os.fsencode(source)).hexdigest()[:12]}.fits"
    if not staged.exists():
        if compressed:
            _decompress(image, staged)
        else:
            _link(staged, image.resolve())
        _check_primary_image(image, staged)
    return Workspace(image, workdir, f"{staged.name}[0]")


def _check_primary_image(image: Path, staged: Path) -> None:
    try:
        with open_quietly(staged) as hdus:
            primary = hdus[0]
            shape, start, size = primary.shape, primary.fileinfo()["datLoc"], primary.size
    except (OSError, fits.VerifyError) as error:
        staged.unlink()
        raise InputError(f"{image}: is not a FITS file ({error}); fetch it again") from error
    problem = None
    if len(shape) != 2:
        problem = f"its primary HDU has the shape {shape}, not two dimensions; give a file with one plain image"
    elif staged.stat().st_size < start + size:
        problem = f"is cut short at {staged.stat().st_size} of {start + size} bytes; fetch it again"
    if problem:
        staged.unlink()
        raise InputError(f"{image}: {problem}")


def _decompress(image: Path, target: Path) -> None:
    partial = target.with_suffix(f".{os.getpid()}.part")
    try:
        with gzip.open(image, "rb") as source, partial.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        partial.replace(target)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{image}: is a damaged gzip file ({error}); fetch it again") from error
    finally:
        partial.unlink(missing_ok=True)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    fresh = link.with_suffix(f".{os.getpid()}.link")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def _replace(path: Path, text: str) -> None:
    # Passes of one image run side by side; none may see the filter half written.
    fresh = path.with_suffix(f".{os.getpid()}.part")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
