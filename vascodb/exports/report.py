"""The report on a run: survivors, funnel and coverage, as the seeds' build_report writes them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from vascodb.exports.flags import flag_file, position
from vascodb.exports.formats import write_json, write_table
from vascodb.exports.labels import LabelledStage
from vascodb.exports.reading import ExportedRow, ExportedRun

__all__ = ["FunnelStep", "left_text", "write_report"]

_RAW, _S0 = "pass2 raw detections", "S0  post-MNRAS+dedup"
# The seeds' funnel.json has kept an earlier label of this stage.
_LABELS = {"S0S": "S4S"}


@dataclass(frozen=True)
class FunnelStep:
    """How much was left after a stage that has a file.

    Parameters
    ----------
    stage : `LabelledStage`
        The stage.
    kept : int
        Detections that went on.
    """

    stage: LabelledStage
    kept: int


def write_report(folder: Path, run: ExportedRun, steps: Sequence[FunnelStep]) -> dict[str, int | None]:
    """Write the files of the report; returns their rows by name, None for what is no table.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where to.
    run : `ExportedRun`
        The run.
    steps : sequence of `FunnelStep`
        The stages after S0.
    """
    # The seeds' funnel has no stage that only flags.
    dropping = [step for step in steps if step.stage.drops]
    made = max((s.judged_at for s in _all_stages(run) if s.judged_at is not None), default=None)
    _write_funnel(folder, run, dropping, made)
    written: dict[str, int | None] = {"report/funnel.json": None, "report/funnel.txt": None}
    decimals = flag_file(dropping[-1].stage).decimals if dropping else None
    survivors = [_survivor(row, run.run, decimals) for row in run.candidates]
    written["report/survivors.csv"] = write_table(
        folder / "survivors.csv", _SURVIVOR, ([row[name] for name in _SURVIVOR] for row in survivors)
    )
    emitted = Counter(row.image.tile_id for row in run.before_duplicates)
    written["report/tile_coverage.csv"] = write_table(
        folder / "tile_coverage.csv",
        ("tile_id", "plate_id", "run_id", "rows_to_S0"),
        (
            (image.tile_id, image.plate_id, run.run, emitted[image.tile_id])
            for image in run.images
            if emitted[image.tile_id]
        ),
    )
    shadow = next((step.stage for step in steps if step.stage.stage.function == "earth_shadow"), None)
    if shadow is not None:
        written["report/survivors_earthshadow.csv"] = _write_shadows(folder, run, survivors, shadow)
    return written


def _all_stages(run: ExportedRun) -> list[Any]:
    layout = run.layout
    duplicates = () if layout.duplicates is None else (layout.duplicates,)
    return [*layout.before, *duplicates, *(labelled.stage for labelled in layout.stages)]


_SURVIVOR = ("src_id", "tile_id", "ra", "dec", "plate_id", "obs_date", "run_id")


def _survivor(row: ExportedRow, run: str, decimals: int | None) -> dict[str, str]:
    return position(row, decimals) | {"obs_date": row.image.date_obs_raw or "", "run_id": run}


def _write_shadows(
    folder: Path, run: ExportedRun, survivors: Sequence[Mapping[str, str]], shadow: LabelledStage
) -> int:
    times = run.shadow_times(shadow.stage)
    judged = {row.src_id: row for row in run.judged_by(shadow.stage)}
    rows = []
    for survivor in survivors:
        row = judged[survivor["src_id"]]
        at = times.get(row.key[0], "")
        cells = ["", "", "", ""]
        if row.value is not None:
            # The header's own text, unless its minutes or seconds had to be carried.
            cells = [at, str(at != survivor["obs_date"][:19]), f"{row.value:.4f}", str(row.outcome == "fail")]
        rows.append([survivor[name] for name in _SURVIVOR] + cells)
    columns = (*_SURVIVOR, "obs_date_used", "time_adjusted", "shadow_dist_deg", "in_earth_shadow")
    return write_table(folder / "survivors_earthshadow.csv", columns, rows)


def _write_funnel(folder: Path, run: ExportedRun, steps: Sequence[FunnelStep], made: datetime | None) -> None:
    raw = run.raw_detections
    counts: list[tuple[str, str, int | None]] = [(_RAW, "pipeline", raw), (_S0, "pipeline", len(run.s0))]
    for step in steps:
        label = _LABELS.get(step.stage.label, step.stage.label)
        counts.append((f"{label:<3} {step.stage.kind}", "postprocess", step.kept))
    write_json(
        folder / "funnel.json",
        {
            "generated": None if made is None else made.isoformat(),
            "funnel": [{"stage": s, "section": section, "runs": {run.run: n}} for s, section, n in counts],
        },
    )
    (folder / "funnel.txt").write_text(_funnel_text(run.run, raw, len(run.s0), steps, made), encoding="utf-8")


def _funnel_text(run: str, raw: int | None, s0: int, steps: Sequence[FunnelStep], made: datetime | None) -> str:
    labels = [step.stage.label for step in steps]
    left = [s0, *(step.kept for step in steps)]
    cells = [left_text(s0, raw)] + [left_text(now, before) for before, now in pairwise(left)]
    widths = [max(len(cell), len(label)) for cell, label in zip(cells, ["S0", *labels], strict=True)]

    def line(name: str, first: str, row: Sequence[str]) -> str:
        padded = [f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)]
        return f"{name:<4}  {first:>6}  {padded[0]}  |  " + "  ".join(padded[1:])

    header = line("Run", "RAW", ["S0", *labels])
    size = "-" if raw is None else f"{raw / 1e6:.2f}M" if raw >= 1_000_000 else f"{raw:,}"
    to = f"{labels[0]}..{labels[-1]} = post-pipeline stages" if labels else "no post-pipeline stages"
    when = "" if made is None else f"{made:%Y-%m-%d %H:%M} UTC"
    lines = [
        "VASCO60 — Detection Funnel", f"Generated: {when}", f"Runs: {run}", f"Columns: RAW S0 = pipeline  |  {to}", "",
        header, "-" * len(header), line(run, size, cells), "-" * len(header), line("TOTAL", size, cells),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def left_text(now: int, before: int | None) -> str:
    """A number, and by how much it is less than the one before; all but nothing is never printed as all."""
    if not before:
        return f"{now:,}"
    lost = 100.0 * (1 - now / before)
    return f"{now:,} (-{min(lost, 99.9) if now else lost:.1f}%)"
