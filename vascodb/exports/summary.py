"""RUN_SUMMARY.txt: what was written, and how many survivors each plate has."""

from collections import Counter
from collections.abc import Sequence

from vascodb.exports.reading import ExportedRun
from vascodb.exports.report import FunnelStep

__all__ = ["summary_text"]

_METHODS = {
    "plan": 'plate_id + angular_sep <= {radius:.3f}"',
    "any": 'global angular_sep <= {radius:.3f}" (no plate_id partition)',
}


def summary_text(run: ExportedRun, run_dir: str, steps: Sequence[FunnelStep]) -> str:
    """The text of the summary.

    Parameters
    ----------
    run : `ExportedRun`
        The run.
    run_dir : str
        The folder that is written.
    steps : sequence of `FunnelStep`
        The stages after S0.
    """
    emitted, final = len(run.before_duplicates), len(run.s0)
    dropped = run.layout.duplicates is not None
    files = ["stage_S0.csv", *(step.stage.file_name for step in steps if step.stage.drops)]
    lines = [
        f"run_dir: {run_dir}",
        "mode: full",
        f"tiles_scanned: {len(run.images)}",
        "tiles_delta_skipped: 0",
        f"tiles_processed: {len(run.images)}",
        f"S0_rows_raw: {emitted}",
        f"S0_rows_unique_src_id: {emitted}",
        "S0_src_id_duplicates_dropped: 0",
        f"dedup_enabled: {dropped}",
        *([f"dedup_method: {_method(run)}", f"dedup_rows: {final} (dropped={emitted - final})"] if dropped else []),
        f"final_rows_for_stage_and_uploads: {final} ({'dedup' if dropped else 'raw'} set)",
        "master_csv: source_extractor_final_filtered.csv",
        *(["master_dedup_csv: source_extractor_final_filtered__dedup.csv"] if dropped else []),
        "stage_csv: stage_S0.csv",
        "upload_positional: upload_positional.csv",
        "",
        *_detections(run.raw_detections, emitted),
        "",
        f"Final stage       : {files[-1]}",
        f"Total survivors   : {len(run.candidates):,}",
        "",
        *_plates(run),
    ]
    return "\n".join(lines) + "\n"


def _method(run: ExportedRun) -> str:
    assert run.layout.duplicates is not None
    parameters = run.layout.duplicates.parameters
    within = str(parameters.get("within"))
    how = _METHODS.get(within, within + ' + angular_sep <= {radius:.3f}"')
    how = how.format(radius=float(parameters["radius_arcsec"]))
    return f"{how} (deterministic rep: {parameters.get('representative')})"


def _detections(raw: int | None, emitted: int) -> list[str]:
    lines = [
        "Detection funnel:",
        f"  pass2 unfiltered (veto_start_rows)  : {'not known' if raw is None else f'{raw:,}':>10}",
        f"  pass2 filtered (post-MNRAS gates)   : {emitted:>10,}",
        f"  emitted to S0 (stage input)         : {emitted:>10,}",
    ]
    if raw:
        lines += [
            "",
            f"  MNRAS gates removed               : {100 * (1 - emitted / raw):.3f}% of pass2 unfiltered",
            f"  Surviving to S0                   : {100 * emitted / raw:.4f}% of pass2 unfiltered",
        ]
    return lines


def _plates(run: ExportedRun) -> list[str]:
    survivors = Counter(row.image.plate_id for row in run.candidates)
    tiles = Counter(plate for plate, _ in {(row.image.plate_id, row.image.tile_id) for row in run.candidates})
    return [
        "  Plate        Tiles   Survivors   Surv/tile",
        "  ----------  ------  ----------  ----------",
        *(
            f"  {plate:<10}  {tiles[plate]:>6}  {n:>10}  {n / tiles[plate]:>10.2f}"
            for plate, n in sorted(survivors.items(), key=lambda item: (-item[1], item[0]))
        ),
    ]
