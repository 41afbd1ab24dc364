"""The ledger of each kind of stage: its totals and parameters, by the seeds' names."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from vascodb.exports.flags import keeps_matches
from vascodb.exports.labels import LabelledStage
from vascodb.exports.reading import Detail, ExportedRow

__all__ = ["Judgement", "ledger"]

_CHUNK = {"SCOS": 5000, "PTF": 2000, "VSX": 5000}
# What the seeds call the tables of catalogues that they ask.
_TABLES = {"gsc242": "I/353/gsc242", "supercosmos": "supercosmos.sources"}
_MORPH_PARAMETERS = {
    "gaia_mag_min": "gaia_mag_min", "gaia_mag_max": "gaia_mag_max", "gaia_match_arcsec": "match_arcsec",
    "elongation_max": "elongation_max", "min_psf_stars": "min_psf_stars", "fwhm_ratio_max": "fwhm_ratio_max",
    "spread_snr_max": "spread_snr_max",
}  # fmt: skip
_SHAPE_PARAMETERS = {
    "profile_diff_threshold": "profile_diff_max", "elongation_limit": "elongation_max",
    "circularity_low_limit": "circularity_min",
}  # fmt: skip
_WHOLE = ("min_psf_stars",)
# The ledger of SHAPE has its keys in an order of its own.
_SHAPE_ORDER = (
    "experimental", "created", "stage", "run_dir", "input_glob", "parameters", "input_chunks", "totals",
    "rejected_by_reason", "neighborhood_stats", "columns_detected", "outputs", "per_tile",
)  # fmt: skip


@dataclass(frozen=True)
class Judgement:
    """A stage with all that it judged.

    Parameters
    ----------
    run_dir : str
        The folder that is written.
    stage : `LabelledStage`
        The stage.
    judged : sequence of `ExportedRow`
        What it judged.
    details : mapping
        What else is known of it, by extraction and number.
    flags : sequence of mapping
        The rows of its flags.
    """

    run_dir: str
    stage: LabelledStage
    judged: Sequence[ExportedRow]
    details: Mapping[tuple[int, int], Detail]
    flags: Sequence[Mapping[str, Any]]

    @property
    def kept(self) -> int:
        """Number of detections that went on."""
        return sum(row.goes_on for row in self.judged)

    @property
    def matched(self) -> int:
        """Number of detections with a counterpart."""
        wanted = "pass" if keeps_matches(self.stage) else "fail"
        return sum(row.outcome == wanted for row in self.judged)

    def sum_of(self, column: str) -> int:
        """How many flags are set in a column."""
        return sum(str(row[column]) in ("1", "True") for row in self.flags)

    def by_tile(self) -> dict[str, list[ExportedRow]]:
        """What it judged, tile by tile."""
        found: dict[str, list[ExportedRow]] = {}
        for row in self.judged:
            found.setdefault(row.image.tile_id, []).append(row)
        return found


def ledger(judgement: Judgement, with_outcome: bool) -> dict[str, Any]:
    """The ledger of a stage.

    Parameters
    ----------
    judgement : `Judgement`
        The stage and what it judged.
    with_outcome : bool
        Whether to add how many detections had which outcome; the seeds know two only.
    """
    stage = judgement.stage
    inputs = stage.inputs
    places = [name if name == "stage_S0.csv" else f"stages/{name}" for name in inputs]
    body = _LEDGERS.get(stage.kind, _own)(judgement)
    content: dict[str, Any] = {
        **({"experimental": True} if stage.kind in ("MORPH", "SHAPE", "GSC") else {}),
        "run_dir": judgement.run_dir,
        "input_glob": places[0] if len(places) == 1 else f"stages/stage_{{{','.join(n[6:-4] for n in inputs)}}}.csv",
        "stage": stage.label,
        **body,
    }
    base = f"{judgement.run_dir}/stages/stage_{stage.name}"
    content["outputs"] = {
        "stage_csv" if stage.kind == "SKYBOT" else "kept_csv": f"{base}.csv",
        "flags_csv": f"{base}_flags.csv",
        "stage_ledger_json" if stage.kind == "SKYBOT" else "ledger_json": f"{base}_ledger.json",
    }
    if stage.kind not in ("SKYBOT", "SCOPE_DEC"):
        content["columns_detected"] = {"src_id_col": "src_id", "ra_col": "ra", "dec_col": "dec"}
    if stage.kind == "SHAPE":
        content = {key: content[key] for key in _SHAPE_ORDER}
    if with_outcome:
        content["outcomes"] = dict(sorted(Counter(row.outcome for row in judgement.judged).items()))
    return content


def _morph(judgement: Judgement) -> dict[str, Any]:
    tiles, statuses = [], Counter({"ok": 0, "psf_insufficient": 0, "catalog_missing": 0})
    enough = judgement.stage.stage.parameters.get("min_psf_stars", 0)
    for tile_id, rows in judgement.by_tile().items():
        detail = judgement.details.get(rows[0].key, {})
        stars = detail.get("psf_star_count") or 0
        status = "ok" if stars >= enough and detail.get("psf_fwhm_median") is not None else "psf_insufficient"
        statuses[status] += 1
        tiles.append({
            "tile_id": tile_id, "psf_status": status, "psf_star_count": stars,
            "psf_fwhm_median": detail.get("psf_fwhm_median"), "psf_spread_median": detail.get("psf_spread_median"),
            **_counts(rows),
        })  # fmt: skip
    return {
        "parameters": _parameters(judgement, _MORPH_PARAMETERS),
        "input_chunks": list(judgement.stage.inputs),
        "totals": _totals(judgement) | {"rejection_pct": _percentage(judgement)},
        "tile_psf_summary": dict(statuses),
        "per_tile": tiles,
    }


def _shape(judgement: Judgement) -> dict[str, Any]:
    failed = judgement.sum_of("shape_failed")
    counts = [
        detail["stars_used"] for row in judgement.judged
        if (detail := judgement.details.get(row.key, {})).get("stars_used") is not None
    ]  # fmt: skip
    kept, n_rows = judgement.kept, len(judgement.judged)
    totals = {
        "input_rows": n_rows, "kept_rows": kept, "rejected_rows": n_rows - kept, "failed_rows": failed,
        "rejection_pct": _percentage(judgement),
    }  # fmt: skip
    tiles = []
    failures = {row["src_id"]: row["failure_reason"] for row in judgement.flags if row["shape_failed"] == "1"}
    for tile_id, rows in judgement.by_tile().items():
        reasons = [failures[row.src_id] for row in rows if row.src_id in failures]
        tiles.append({"tile_id": tile_id, **_counts(rows), "failed_rows": len(reasons), "failure_reasons": reasons})
    return {
        "created": _created(judgement.stage.stage.judged_at),
        "parameters": _parameters(judgement, _SHAPE_PARAMETERS),
        "input_chunks": list(judgement.stage.inputs),
        "totals": totals,
        "rejected_by_reason": {
            name: judgement.sum_of(name) for name in ("rej_profile_diff", "rej_elongation", "rej_circularity")
        },
        "neighborhood_stats": {
            "min": min(counts, default=None), "p50": float(median(counts)) if counts else None,
            "max": max(counts, default=None), "zero_stars_rows": counts.count(0),
        },
        "per_tile": tiles,
    }  # fmt: skip


def _gsc(judgement: Judgement) -> dict[str, Any]:
    totals = _match_totals(judgement)
    # A stage that was asked of one file has one chunk.
    chunk = {"chunk": judgement.stage.inputs[-1], **totals}
    return {
        "cdstable": _asked(judgement),
        "radius_arcsec": judgement.stage.stage.radius_arcsec,
        "input_chunks": list(judgement.stage.inputs),
        "totals": totals,
        "per_chunk": [chunk] if len(judgement.stage.inputs) == 1 else [],
    }


def _skybot(judgement: Judgement) -> dict[str, Any]:
    return {
        "totals": {
            "input_rows": len(judgement.judged), "matched_strict": judgement.matched,
            "matched_wide": judgement.sum_of("wide_skybot_match"), "kept_rows": judgement.kept,
        },
        "params": {"match_arcsec": judgement.stage.stage.radius_arcsec, "fallback_wide_arcsec": 60.0},
    }  # fmt: skip


def _scos(judgement: Judgement) -> dict[str, Any]:
    mode = "keep_matches" if keeps_matches(judgement.stage) else "drop_matches"
    return _in_parts(judgement, {"table": _asked(judgement)}, {"mode": mode})


def _ptf(judgement: Judgement) -> dict[str, Any]:
    return _in_parts(judgement, {"ptf_table": _asked(judgement)}, {})


def _vsx(judgement: Judgement) -> dict[str, Any]:
    return _in_parts(judgement, {}, {})


def _in_parts(judgement: Judgement, head: dict[str, Any], tail: dict[str, Any]) -> dict[str, Any]:
    size = _CHUNK[judgement.stage.kind]
    wanted = "pass" if keeps_matches(judgement.stage) else "fail"
    parts = []
    for number, start in enumerate(range(0, len(judgement.judged), size), start=1):
        rows = judgement.judged[start : start + size]
        parts.append({
            "part": f"part_{number:04d}", "input_rows": len(rows),
            "matched_rows": sum(row.outcome == wanted for row in rows), "kept_rows": sum(row.goes_on for row in rows),
        })  # fmt: skip
    return {
        **head,
        "radius_arcsec": judgement.stage.stage.radius_arcsec,
        "chunk_size": size,
        **tail,
        "totals": _match_totals(judgement),
        "per_part": parts,
    }


def _scope_dec(judgement: Judgement) -> dict[str, Any]:
    totals = _totals(judgement)
    rejected = totals["rejected_rows"]
    return {
        "created": _created(judgement.stage.stage.judged_at),
        "parameters": {"dec_min": float(judgement.stage.stage.parameters["dec_min"])},
        "totals": {
            "input_rows": totals["input_rows"], "kept_rows": totals["kept_rows"], "rejected_rows": rejected,
            "parse_errors_kept": 0,
        },
        "rejected_by_reason": {"dec_below_scope": rejected} if rejected else {},
    }  # fmt: skip


def _own(judgement: Judgement) -> dict[str, Any]:
    return {
        "created": _created(judgement.stage.stage.judged_at),
        "function": judgement.stage.stage.function,
        "parameters": dict(judgement.stage.stage.parameters),
        "tolerates": list(judgement.stage.stage.tolerates),
        "totals": _totals(judgement),
    }


_LEDGERS: Mapping[str, Callable[[Judgement], dict[str, Any]]] = {
    "MORPH": _morph, "SHAPE": _shape, "GSC": _gsc, "SKYBOT": _skybot, "SCOS": _scos, "PTF": _ptf, "VSX": _vsx,
    "SCOPE_DEC": _scope_dec,
}  # fmt: skip


def _totals(judgement: Judgement) -> dict[str, int]:
    n_rows, kept = len(judgement.judged), judgement.kept
    return {"input_rows": n_rows, "rejected_rows": n_rows - kept, "kept_rows": kept}


def _match_totals(judgement: Judgement) -> dict[str, int]:
    return {"input_rows": len(judgement.judged), "matched_rows": judgement.matched, "kept_rows": judgement.kept}


def _counts(rows: Sequence[ExportedRow]) -> dict[str, int]:
    kept = sum(row.goes_on for row in rows)
    return {"input_rows": len(rows), "rejected_rows": len(rows) - kept, "kept_rows": kept}


def _percentage(judgement: Judgement) -> float:
    return round(100.0 * (1 - judgement.kept / len(judgement.judged)), 1) if judgement.judged else 0.0


def _parameters(judgement: Judgement, names: Mapping[str, str]) -> dict[str, Any]:
    """Parameters by the seeds' names; all of them as they are where the stage judges in another way."""
    own = judgement.stage.stage.parameters
    if not set(names.values()) <= set(own):
        return dict(own)
    return {name: own[key] if name in _WHOLE else float(own[key]) for name, key in names.items()}


def _asked(judgement: Judgement) -> str:
    """The table that was asked; all of the family that counterparts are from, or could be."""
    from_matches = {detail["catalog"] for detail in judgement.details.values() if detail.get("catalog")}
    catalogs = sorted(from_matches or judgement.stage.stage.catalogs)
    return ", ".join(_TABLES.get(catalog, catalog) for catalog in catalogs)


def _created(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")
