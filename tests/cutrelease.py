"""A part of the published release: some of its tiles, in the bytes of its own files."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

__all__ = ["STAGES", "cut_release"]

STAGES = (
    "S0M_MORPH", "S0S_SHAPE", "S1_GSC", "S2_SKYBOT", "S3_SCOS", "S4_PTF", "S5_VSX", "S6_SCOPE_DEC",
)  # fmt: skip
_LISTS = (
    "source_extractor_final_filtered.csv", "source_extractor_final_filtered__dedup.csv", "stage_S0.csv",
    "tile_manifest.csv", "survivors.csv",
)  # fmt: skip


def cut_release(release: Path, folder: Path, wanted: Callable[[str], bool]) -> Path:
    """Write the rows of some tiles, with ledgers and a summary that count them; returns the folder.

    Parameters
    ----------
    release : `~pathlib.Path`
        The whole release.
    folder : `~pathlib.Path`
        Where to.
    wanted : callable
        Whether a tile of that name is taken.
    """
    folder.mkdir(parents=True)
    rows = {}
    for name in (*_LISTS, *(f"stage_{s}{end}.csv" for s in STAGES for end in ("", "_flags"))):
        head, *lines = gzip.decompress((release / f"{name}.gz").read_bytes()).splitlines(keepends=True)
        taken = [line for line in lines if wanted(line.split(b",", 1)[0].split(b":")[0].decode())]
        (folder / name).write_bytes(b"".join([head, *taken]))
        rows[name] = len(taken)
    for stage in STAGES:
        plain, packed = release / f"stage_{stage}_ledger.json", release / f"stage_{stage}_ledger.json.gz"
        ledger = json.loads(plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes()))
        whole = ledger["totals"]
        n_in, kept = rows[f"stage_{stage}_flags.csv"], rows[f"stage_{stage}.csv"]
        ledger["totals"] = {"input_rows": n_in, "kept_rows": kept}
        if "matched_rows" in whole:
            ledger["totals"]["matched_rows"] = kept if stage == "S3_SCOS" else n_in - kept
        (folder / f"stage_{stage}_ledger.json").write_text(
            json.dumps({key: value for key, value in ledger.items() if not key.startswith("per_")})
        )
    counts = {
        "tiles_scanned": rows["tile_manifest.csv"], "S0_rows_raw": rows[_LISTS[0]],
        "final_rows_for_stage_and_uploads": rows["stage_S0.csv"],
    }  # fmt: skip
    head = (release / "RUN_SUMMARY.txt").read_text().splitlines()[0]
    (folder / "RUN_SUMMARY.txt").write_text("\n".join([head, *(f"{k}: {n}" for k, n in counts.items()), ""]))
    return folder
