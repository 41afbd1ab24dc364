"""The flags of each kind of stage: one row for each detection that it judged, with the seeds' columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vascodb.exports.formats import degrees, flag, six_digits
from vascodb.exports.labels import LabelledStage
from vascodb.exports.reading import Detail, ExportedRow

__all__ = ["FlagFile", "flag_file", "keeps_matches", "position"]

# Rows of one upload to a service.
_CHUNK = {"SCOS": 5000, "PTF": 2000, "VSX": 5000}
_MORPH_NUMBERS = (
    "fwhm_image", "fwhm_ratio", "spread_model", "spreaderr_model", "spread_snr", "psf_fwhm_median", "psf_spread_median",
)  # fmt: skip
_SHAPE_NUMBERS = ("profile_diff", "circularity", "area", "shape_defect", "circle_deviation")
_SHAPE_CRITERIA = ("profile_diff", "elongation", "circularity")


@dataclass(frozen=True)
class _Judged:
    """A row with what else is known of it."""

    row: ExportedRow
    detail: Detail
    stage: LabelledStage
    place: int

    @property
    def has_match(self) -> bool:
        """Whether the catalogue that the stage asked has a counterpart."""
        return self.row.outcome == ("pass" if keeps_matches(self.stage) else "fail")

    @property
    def part(self) -> str:
        """The upload that the row would have been in."""
        return f"part_{self.place // _CHUNK[self.stage.kind] + 1:04d}"

    def count(self, published: str) -> int:
        """Counterparts within the match radius: as published, as found here, or at least one."""
        return max(1, self.detail.get(published) or self.detail.get("n_within") or 1) if self.has_match else 0


@dataclass(frozen=True)
class FlagFile:
    """How the files of a kind of stage look.

    Parameters
    ----------
    columns : sequence of str
        Columns of the flags after those that say which detection it is.
    cells : callable
        Their values.
    decimals : int or None
        Of positions; see `degrees`.
    line_end : str
        How a line ends: some of the seeds' scripts write with csv, others with pandas.
    leading : sequence of str
        The columns that say which detection it is.
    kept : sequence of str
        Columns of the file of what was kept.
    """

    columns: Sequence[str]
    cells: Callable[[_Judged], list[Any]]
    decimals: int | None = 12
    line_end: str = "\r\n"
    leading: Sequence[str] = ("src_id", "ra", "dec")
    kept: Sequence[str] = ("src_id", "ra", "dec")

    def rows(
        self, stage: LabelledStage, judged: Sequence[ExportedRow], details: Mapping[tuple[int, int], Detail]
    ) -> list[dict[str, Any]]:
        """Values of all columns of both files, row by row."""
        found = []
        for place, row in enumerate(judged):
            cells = self.cells(_Judged(row, details.get(row.key, {}), stage, place))
            names = dict(zip(self.columns, cells, strict=True))
            found.append(position(row, self.decimals) | names | {"outcome": row.outcome})
        return found


def keeps_matches(stage: LabelledStage) -> bool:
    """Whether a stage keeps what has a counterpart, and drops what has none."""
    if stage.stage.function == "published":
        return stage.kind == "SCOS"
    return stage.stage.function == "keep_match"


def position(row: ExportedRow, decimals: int | None) -> dict[str, Any]:
    """Which detection it is."""
    return {
        "src_id": row.src_id, "tile_id": row.image.tile_id, "object_id": row.number,
        "ra": degrees(row.ra, decimals, published=row.image.is_imported),
        "dec": degrees(row.dec, decimals, published=row.image.is_imported), "plate_id": row.image.plate_id,
    }  # fmt: skip


def flag_file(stage: LabelledStage) -> FlagFile:
    """How the files of a stage look."""
    return _FILES.get(stage.kind, _OWN)


def _morph(judged: _Judged) -> list[Any]:
    row, detail = judged.row, judged.detail
    reason = detail.get("reject_reason") or ("" if row.outcome == "pass" else row.reason)
    stars = detail.get("psf_star_count")
    numbers = [six_digits(detail.get(name)) for name in _MORPH_NUMBERS]
    return [*numbers, "" if stars is None else stars, flag(not row.goes_on), reason, judged.stage.inputs[-1]]


def _shape(judged: _Judged) -> list[Any]:
    row, detail = judged.row, judged.detail
    numbers = [six_digits(detail.get(name)) for name in _SHAPE_NUMBERS]
    rejections = detail.get("rejections")
    broken: list[bool | None] = [
        detail.get(f"rej_{name}") if rejections is None else any(r.startswith(name) for r in rejections)
        for name in _SHAPE_CRITERIA
    ]
    failed = not row.goes_on and (row.outcome != "fail" or bool(detail.get("shape_failed")))
    reason = "" if row.goes_on or failed else ";".join(rejections or ()) or detail.get("reject_reason") or row.reason
    cause = row.reason if row.outcome not in ("pass", "fail") else ""
    stars = detail.get("stars_used")
    return [
        *numbers, detail.get("shape_confidence") or "", six_digits(detail.get("elongation")),
        "" if stars is None else stars, *map(flag, broken), flag(not row.goes_on and not failed), reason, flag(failed),
        detail.get("failure_reason") or cause, judged.stage.inputs[-1],
    ]  # fmt: skip


def _gsc(judged: _Judged) -> list[Any]:
    sep = judged.row.value if judged.has_match else None
    names = (judged.detail.get(key) for key in ("gsc2_id", "designation"))
    name = next(filter(None, names), None) if judged.has_match else None
    return [flag(judged.has_match), "" if sep is None else f"{sep:.6f}", name or "", judged.stage.inputs[-1]]


def _skybot(judged: _Judged) -> list[Any]:
    detail = judged.detail
    sep = detail.get("sep_arcsec")
    nearest = detail.get("best_sep_arcsec", sep)
    wide = bool(detail.get("wide_skybot_match", sep is not None)) or judged.has_match
    epoch = detail.get("epoch_used") or detail.get("epoch")
    return [
        judged.has_match, wide, detail.get("matched_count", int(wide)), "" if nearest is None else nearest,
        epoch.isoformat() if isinstance(epoch, datetime) else epoch or "",
    ]  # fmt: skip


def _scos(judged: _Judged) -> list[Any]:
    return [flag(judged.has_match), judged.count("matched_count"), judged.part]


def _ptf(judged: _Judged) -> list[Any]:
    return [flag(judged.has_match), "", judged.part]


def _vsx(judged: _Judged) -> list[Any]:
    sep = judged.row.value if judged.has_match else None
    return [flag(judged.has_match), int(judged.has_match), six_digits(sep), judged.part]


def _scope_dec(judged: _Judged) -> list[Any]:
    dropped = not judged.row.goes_on
    return [f"{judged.row.dec:.6f}", "dec_below_scope" if dropped else "", flag(dropped)]


def _own(judged: _Judged) -> list[Any]:
    row = judged.row
    return [row.outcome, six_digits(row.value), row.reason]


_TILE = ("src_id", "tile_id", "object_id", "ra", "dec")
_OWN = FlagFile(("outcome", "value", "reason"), _own)
_FILES: Mapping[str, FlagFile] = {
    "MORPH": FlagFile(
        (*_MORPH_NUMBERS, "psf_star_count", "reject_flag", "reject_reason", "source_chunk"), _morph, None,
        leading=("src_id", "ra", "dec", "tile_id", "object_id"),
    ),
    "SHAPE": FlagFile(
        (
            *_SHAPE_NUMBERS, "shape_confidence", "elongation", "stars_used", "rej_profile_diff", "rej_elongation",
            "rej_circularity", "reject_flag", "reject_reason", "shape_failed", "failure_reason", "source_chunk",
        ),
        _shape, None, leading=_TILE, kept=(*_TILE, "profile_diff"),
    ),
    "GSC": FlagFile(("has_gsc_match", "best_sep_arcsec", "gsc2_id", "source_chunk"), _gsc, None),
    "SKYBOT": FlagFile(
        ("has_skybot_match", "wide_skybot_match", "matched_count", "best_sep_arcsec", "epoch_used"), _skybot, None, "\n"
    ),
    "SCOS": FlagFile(("has_supercosmos_match", "matched_count", "source_part"), _scos),
    "PTF": FlagFile(("has_ptf_match_ngood", "best_sep_arcsec", "source_part"), _ptf),
    "VSX": FlagFile(
        ("is_known_variable_or_transient", "matched_count", "best_sep_arcsec", "source_part"), _vsx
    ),
    "SCOPE_DEC": FlagFile(("dec_value", "reject_reason", "is_rejected"), _scope_dec),
}  # fmt: skip
