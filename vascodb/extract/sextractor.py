"""Starting SExtractor for one pass over one image."""

import os
from collections.abc import Iterable, Mapping

from vascodb.extract.config import ExtractionConfig
from vascodb.extract.ldac import DETECTION_COLUMNS, PSF_COLUMNS
from vascodb.extract.psf import PsfModel
from vascodb.extract.tools import RunningTool, find_tool
from vascodb.extract.workspace import Workspace

__all__ = ["start_pass1", "start_pass2"]


def start_pass1(workspace: Workspace, config: ExtractionConfig, label: str = "pass1") -> RunningTool:
    """Start the pass that feeds PSFEx; it writes ``<label>.ldac`` with a vignette of every source.

    Parameters
    ----------
    workspace : `Workspace`
        The image and its folder.
    config : `ExtractionConfig`
        Keys and columns.
    label : str, optional
        Stem of the names of all files of this run.

    Returns
    -------
    `~vascodb.extract.tools.RunningTool`

    Raises
    ------
    ToolError
        SExtractor is missing or cannot be started.
    """
    return _start(workspace, config, label, config.pass1, config.columns.pass1)


def start_pass2(
    workspace: Workspace,
    config: ExtractionConfig,
    label: str,
    psf: PsfModel | None = None,
    selection: Mapping[str, str] | None = None,
) -> RunningTool:
    """Start the pass that finds and measures the detections; it writes ``<label>.ldac``.

    Parameters
    ----------
    workspace : `Workspace`
        The image and its folder.
    config : `ExtractionConfig`
        Keys.
    label : str
        Stem of the names of all files of this run.
    psf : `PsfModel`, optional
        With a model, the PSF columns are measured as well.
    selection : mapping of str, optional
        SExtractor's ``ASSOC`` keys that say which detections are measured; by default all are.

    Returns
    -------
    `~vascodb.extract.tools.RunningTool`

    Raises
    ------
    ToolError
        SExtractor is missing or cannot be started.
    """
    keys = dict(config.pass2)
    columns = list(DETECTION_COLUMNS)
    if psf is not None:
        keys["PSF_NAME"] = os.path.relpath(psf.path, workspace.folder)
        columns += PSF_COLUMNS
    if selection is not None:
        keys |= selection
        # Asking for this column is what turns the association on.
        columns.append("NUMBER_ASSOC")
    return _start(workspace, config, label, keys, columns)


def _start(
    workspace: Workspace, config: ExtractionConfig, label: str, keys: Mapping[str, str], columns: Iterable[str]
) -> RunningTool:
    tool = find_tool("source-extractor")
    columns_file = f"{label}.param"
    workspace.write_columns(columns_file, columns)
    catalogue = f"{label}.ldac"
    run_keys = {
        "CATALOG_NAME": catalogue,
        "CATALOG_TYPE": "FITS_LDAC",
        "PARAMETERS_NAME": columns_file,
        "FILTER_NAME": workspace.write_filter(config),
        "STARNNW_NAME": workspace.link_neural_network(),
        "CHECKIMAGE_TYPE": "NONE",
        "WRITE_XML": "N",
        "NTHREADS": "1",
        "VERBOSE_TYPE": "QUIET",
    }
    keys_file = f"{label}.sex"
    workspace.write_keys(keys_file, {**keys, **run_keys})
    return RunningTool(
        tool,
        [workspace.fits_name, "-c", keys_file],
        workdir=workspace.folder,
        image=workspace.image,
        output=catalogue,
    )
