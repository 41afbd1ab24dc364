"""The stages of a release: one file of flags each, held against the file of what was kept and against the ledger."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vascodb.errors import InputError
from vascodb.releases.folder import ReleaseFile, ReleaseFolder
from vascodb.releases.tables import CsvTable

__all__ = ["Catalogue", "PublishedStage", "read_stages"]

_FLAGS = r"stage_([A-Za-z0-9]+)_(\w+)_flags\.csv"
_KEPT = r"stage_(?!S0\.)([A-Za-z0-9]+)_(\w+)\.csv"
# The positions of a detection are printed with 10 and with 12 decimals.
_SAME_POSITION_DEG = 1e-8


@dataclass(frozen=True)
class Catalogue:
    """How a stage asks a reference catalogue.

    Parameters
    ----------
    name : str
        Name of the catalogue here.
    flag : str
        Column that says whether there is a counterpart.
    sep : str or None
        Column with its separation in arcsec.
    ledger_key, asked : str or None
        Where the ledger says which table was asked, and what it must say.
    """

    name: str
    flag: str
    sep: str | None = None
    ledger_key: str | None = None
    asked: str | None = None


CATALOGUES: Mapping[str, Catalogue] = {
    "GSC": Catalogue("gsc242", "has_gsc_match", "best_sep_arcsec", "cdstable", "I/353/gsc242"),
    "SKYBOT": Catalogue("skybot", "has_skybot_match", "best_sep_arcsec"),
    "SCOS": Catalogue("supercosmos", "has_supercosmos_match", None, "table", "supercosmos.sources"),
    "PTF": Catalogue("ptf_objects", "has_ptf_match_ngood", None, "ptf_table", "ptf_objects"),
    # Its column of separations is multiplied by 3600 wherever a value is below 0.1 arcsec.
    "VSX": Catalogue("vsx", "is_known_variable_or_transient"),
}
# Columns whose yes means that a stage without a catalogue drops the detection.
_REJECTING = {"MORPH": ("reject_flag",), "SHAPE": ("reject_flag", "shape_failed"), "SCOPE_DEC": ("is_rejected",)}
# Who else states how many rows of which kind there are: the ledger's totals.
_TOTALS = ("input_rows", "kept_rows", "rejected_rows", "matched_rows", "matched_strict", "matched_wide")


@dataclass(frozen=True)
class PublishedStage:
    """One stage of a release.

    Parameters
    ----------
    label, kind : str
        ``S0M_MORPH`` and ``MORPH``; a run chooses the first part of its labels itself.
    flags : `CsvTable`
        A row for each detection that the stage judged.
    file : `ReleaseFile`
        That file.
    index : ndarray of int64, shape (n,)
        For each row the place of its detection in the release's list.
    rejected : ndarray of bool, shape (n,)
        Whether the stage dropped it.
    catalogue : `Catalogue` or None
        The catalogue it asked.
    matched : ndarray of bool, shape (n,), or None
        Whether there was a counterpart in it.
    ledger : mapping
        The stage's ledger; empty where there is none.
    doubt : str or None
        Why the file cannot be known to be whole; None where the release shows that it is.
    """

    label: str
    kind: str
    flags: CsvTable
    file: ReleaseFile
    index: NDArray[np.int64]
    rejected: NDArray[np.bool_]
    catalogue: Catalogue | None
    matched: NDArray[np.bool_] | None
    ledger: Mapping[str, Any]
    doubt: str | None

    @property
    def n_kept(self) -> int:
        """Number of detections that the stage kept."""
        return int(np.count_nonzero(~self.rejected))

    @property
    def parameters(self) -> dict[str, Any]:
        """What the ledger says of the stage, without its lists by tile or part."""
        return {key: value for key, value in self.ledger.items() if not isinstance(value, list)}


def read_stages(
    folder: ReleaseFolder, src_ids: pa.Array, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]
) -> list[PublishedStage]:
    """Read all stages of a release, in their order.

    Every stage judges what an earlier one kept, so the order is that of their numbers of rows; the labels
    decide where these are equal.

    Parameters
    ----------
    folder : `ReleaseFolder`
        The release.
    src_ids : `pyarrow.Array` of string, shape (n,)
        Names of its detections.
    ra_deg, dec_deg : ndarray of float64, shape (n,)
        Their positions.

    Raises
    ------
    InputError
        If a file is malformed, is of other detections, or is contradicted by the file of what was kept or
        by the ledger.
    """
    stages = []
    flags_of = {match[1] + "_" + match[2]: name for name, match in folder.matching(_FLAGS)}
    for name, match in folder.matching(_KEPT):
        if not name.endswith("_flags.csv") and match[1] + "_" + match[2] not in flags_of:
            raise InputError(f"{folder.folder}: there is {name}, but not {name.removesuffix('.csv')}_flags.csv")
    for label, name in flags_of.items():
        file = folder.get(name)
        table = CsvTable(file, ("src_id", "ra", "dec"))
        index = _places(table, src_ids, ra_deg, dec_deg)
        stages.append(_stage(folder, label, label.partition("_")[2], table, file, index))
    return sorted(stages, key=lambda stage: (-stage.flags.n_rows, -stage.n_kept, stage.label))


def _places(
    table: CsvTable, src_ids: pa.Array, ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]
) -> NDArray[np.int64]:
    """For each row the place of its detection."""
    names = table.unique("src_id")
    found = pc.index_in(names, value_set=src_ids)
    table.refuse("src_id", found.is_null().to_numpy(zero_copy_only=False), "is no detection of this release")
    index = found.to_numpy(zero_copy_only=False).astype(np.int64)
    d_ra = np.abs(table.numbers("ra", 0.0, 360.0) - ra_deg[index])
    d_dec = np.abs(table.numbers("dec", -90.0, 90.0) - dec_deg[index])
    elsewhere = (np.minimum(d_ra, 360.0 - d_ra) > _SAME_POSITION_DEG) | (d_dec > _SAME_POSITION_DEG)
    table.refuse("src_id", elsewhere, "is not where the list of detections has it")
    return np.asarray(index, dtype=np.int64)


def _stage(
    folder: ReleaseFolder, label: str, kind: str, table: CsvTable, file: ReleaseFile, index: NDArray[np.int64]
) -> PublishedStage:
    ledger = _ledger(folder, f"stage_{label}_ledger.json")
    kept = folder.find(f"stage_{label}.csv")
    kept_rows = None if kept is None else _kept_rows(CsvTable(kept, ("src_id",)), table)
    catalogue = CATALOGUES.get(kind)
    matched = None if catalogue is None else _column(table, catalogue.flag)
    if catalogue is not None and matched is not None:
        _check_asked(label, catalogue, ledger)
        # SuperCOSMOS saw the same plates: what it does not have is dropped as a flaw of one scan.
        keeps_matches = kind == "SCOS" and ledger.get("mode", "keep_matches") == "keep_matches"
        rejected = ~matched if keeps_matches else matched
    elif kind in _REJECTING:
        rejected = np.any([_column(table, name) for name in _REJECTING[kind]], axis=0)
    elif kept_rows is not None:
        rejected = ~kept_rows
    else:
        raise InputError(f"{file.name}: nothing says what was kept: there is no stage_{label}.csv")
    if kept_rows is not None:
        table.refuse("src_id", kept_rows == rejected, f"is kept by this file or by stage_{label}.csv, but not by both")
    _check_totals(label, table, ledger, rejected, matched)
    doubt = None
    if kept is None and not ledger:
        doubt = f"the release has neither stage_{label}.csv nor a ledger, so {file.name} may be a part of itself"
    return PublishedStage(label, kind, table, file, index, rejected, catalogue, matched, ledger, doubt)


def _column(table: CsvTable, name: str) -> NDArray[np.bool_]:
    if not table.has(name):
        raise InputError(f"{table.name}: row 1, column {name}: is missing")
    return table.flags(name)


def _kept_rows(kept: CsvTable, table: CsvTable) -> NDArray[np.bool_]:
    """Which rows of the flags are in the file of what was kept."""
    names = kept.unique("src_id")
    strangers = pc.invert(pc.is_in(names, value_set=table.text("src_id")))
    kept.refuse("src_id", strangers.to_numpy(zero_copy_only=False), f"is not in {table.name}")
    return np.asarray(pc.is_in(table.text("src_id"), value_set=names).to_numpy(zero_copy_only=False), dtype=bool)


def _ledger(folder: ReleaseFolder, name: str) -> dict[str, Any]:
    file = folder.find(name)
    if file is None:
        return {}
    try:
        ledger = json.loads(file.content)
    except ValueError as error:
        raise InputError(f"{name}: is not JSON: {error}") from error
    if not isinstance(ledger, dict) or not isinstance(ledger.get("totals"), dict):
        raise InputError(f"{name}: has no totals")
    return ledger


def _check_asked(label: str, catalogue: Catalogue, ledger: Mapping[str, Any]) -> None:
    asked = ledger.get(catalogue.ledger_key or "")
    if asked is not None and asked != catalogue.asked:
        raise InputError(f"stage_{label}_ledger.json: {asked} was asked; known is {catalogue.asked} ({catalogue.name})")


def _check_totals(
    label: str,
    table: CsvTable,
    ledger: Mapping[str, Any],
    rejected: NDArray[np.bool_],
    matched: NDArray[np.bool_] | None,
) -> None:
    counts = {"input_rows": table.n_rows, "kept_rows": int(np.count_nonzero(~rejected))}
    counts["rejected_rows"] = table.n_rows - counts["kept_rows"]
    if matched is not None:
        counts["matched_rows"] = counts["matched_strict"] = int(np.count_nonzero(matched))
    if table.has("wide_skybot_match"):
        counts["matched_wide"] = int(np.count_nonzero(table.flags("wide_skybot_match")))
    totals = ledger.get("totals", {})
    for name in _TOTALS:
        if name in totals and name in counts and totals[name] != counts[name]:
            raise InputError(
                f"stage_{label}_ledger.json: totals.{name} is {totals[name]}, but {table.name} has {counts[name]}"
            )
