"""The PSF model of an image: fitting it with PSFEx, and telling a model from an empty one."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from astropy.io import fits

from vascodb.errors import InputError, ToolError
from vascodb.extract.config import ExtractionConfig
from vascodb.extract.quiet_fits import open_quietly
from vascodb.extract.tools import RunningTool, find_tool
from vascodb.extract.workspace import Workspace

__all__ = ["NoPsfError", "PsfFit", "PsfModel", "read_psf_model"]

# None of these touches the model: no plots and pictures, and the smallest grid of snapshots for the diagnostics that
# only those show (the default of 9x9 costs 1.5 s and leaves the same .psf file, byte for byte).
_RUN_KEYS = {
    "PSFVAR_NSNAP": "1",
    "CHECKPLOT_DEV": "NULL",
    "CHECKPLOT_TYPE": "NONE",
    "CHECKIMAGE_TYPE": "NONE",
    "OUTCAT_TYPE": "NONE",
    "PSF_SUFFIX": ".psf",
    "WRITE_XML": "N",
    "NTHREADS": "1",
    "VERBOSE_TYPE": "QUIET",
}


class NoPsfError(InputError):
    """An image has no star PSFEx could use; its detections are sound, but none can be measured against a PSF."""


@dataclass(frozen=True)
class PsfModel:
    """What PSFEx says about a model it fitted.

    Parameters
    ----------
    path : `~pathlib.Path`
        The ``.psf`` file.
    accepted, loaded : int
        Number of stars the model rests on, and of those PSFEx looked at.
    fwhm_px : float
        Width of the stars as PSFEx gives it (``PSF_FWHM``): twice their half-light radius, px. That equals the full
        width at half maximum of a Gaussian and exceeds that of profiles with wings.
    chi2 : float
        Reduced chi squared of the fit.
    sampling_px : float
        Step of the model's own grid, px.
    tool_version : str
        Version of PSFEx.
    warnings : tuple of str
        PSFEx's own warnings.
    seconds : float
        Wall time of the fit.
    """

    path: Path
    accepted: int
    loaded: int
    fwhm_px: float
    chi2: float
    sampling_px: float
    tool_version: str
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


class PsfFit:
    """PSFEx at work on the stars of pass 1; a context manager, so that leaving the block by any way ends the process.

    Parameters
    ----------
    workspace : `Workspace`
        Folder that ``ldac`` lies in.
    ldac : `~pathlib.Path`
        Catalogue of pass 1, with vignettes.
    config : `ExtractionConfig`
        PSFEx keys.

    Raises
    ------
    ToolError
        PSFEx is missing or cannot be started.
    """

    def __init__(self, workspace: Workspace, ldac: Path, config: ExtractionConfig) -> None:
        self._image = workspace.image
        self._tool = find_tool("psfex")
        keys_file = f"{ldac.stem}.psfex"
        workspace.write_keys(keys_file, {**config.psfex, **_RUN_KEYS})
        self._running = RunningTool(
            self._tool,
            [os.path.relpath(ldac, workspace.folder), "-c", keys_file],
            workdir=workspace.folder,
            image=workspace.image,
            output=f"{ldac.stem}.psf",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.__exit__(kind, error, traceback)

    def wait(self) -> PsfModel:
        """Wait for the model.

        Returns
        -------
        `PsfModel`

        Raises
        ------
        NoPsfError
            PSFEx accepted no star.
        ToolError
            PSFEx failed.
        """
        run = self._running.wait()
        model = read_psf_model(run.output, tool_version=self._tool.version, tool_warnings=run.warnings)
        model = replace(model, seconds=run.seconds)
        if model.accepted == 0:
            raise NoPsfError(f"{self._image}: PSFEx accepted 0 of {model.loaded} stars; the image has no usable stars")
        return model


def read_psf_model(path: Path, *, tool_version: str, tool_warnings: tuple[str, ...] = ()) -> PsfModel:
    """Read the header of a ``.psf`` file.

    Parameters
    ----------
    path : `~pathlib.Path`
        Model written by PSFEx; one without any star in it is read too, as ``accepted`` 0.
    tool_version : str
        Version of the PSFEx that wrote it.
    tool_warnings : tuple of str, optional
        Warnings of the run that wrote it.

    Returns
    -------
    `PsfModel`

    Raises
    ------
    ToolError
        The file is no PSFEx model.
    """
    try:
        with open_quietly(path) as hdus:
            header = hdus["PSF_DATA"].header
            return PsfModel(
                path=path,
                accepted=int(header["ACCEPTED"]),
                loaded=int(header["LOADED"]),
                fwhm_px=float(header["PSF_FWHM"]),
                chi2=float(header["CHI2"]),
                sampling_px=float(header["PSF_SAMP"]),
                tool_version=tool_version,
                warnings=tool_warnings,
            )
    except (OSError, KeyError, ValueError, fits.VerifyError) as error:
        raise ToolError(f"{path}: is not a PSF model of PSFEx: {error}; extract the image again") from error
