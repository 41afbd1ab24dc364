"""A release of five tiles and seven survivors, in the form of vasco60, that can be spoilt in any way."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

A, B, C, D, E = (
    "tile_RA0.100_DECp10.000", "tile_RA200.000_DECp88.500", "tile_RA274.586_DECm0.000", "tile_RA10.000_DECm20.000",
    "tile_RA0.300_DECp10.000",
)  # fmt: skip
# E:9 is A:1 on another plan plate. B had no stars of Gaia. D's list is missing, C's is empty.
POSITIONS = {
    f"{A}:1": (0.2, 10.1), f"{A}:2": (359.9, 10.2), f"{A}:3": (0.0, 9.9), f"{A}:4": (0.11, 10.05),
    f"{A}:5": (0.12, 9.8), f"{B}:7": (190.25, 88.75), f"{E}:9": (0.20000001, 10.1),
}  # fmt: skip
_RUN = "work/runs/run-X1-20260101_000000"


class SmallRelease:
    """Files by name; change them, and write them."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        lists = [
            [i, *i.split(":"), *_place(i), {A: "XE001", B: "XE002", E: "XE003"}[i.split(":")[0]]] for i in POSITIONS
        ]
        head = ["src_id", "tile_id", "object_id", "ra", "dec", "plate_id"]
        self.table("source_extractor_final_filtered.csv", head, lists)
        kept = [row for row in lists if row[0] != f"{E}:9"]
        self.table("source_extractor_final_filtered__dedup.csv", head, kept)
        self.table("stage_S0.csv", head[:5], [row[:5] for row in kept])
        self.table(
            "tile_manifest.csv",
            [
                "tile_id", "tile_path", "plate_id", "rows_in_tile_filtered_csv", "rows_emitted_to_S0", "skipped_delta",
                "notes",
            ],
            [
                [A, f"data/tiles/{A}", "XE001", 5, 5, 0, ""],
                [B, f"data/tiles/{B}", "XE002", 1, 1, 0, ""],
                [E, f"data/tiles/{E}", "XE003", 1, 1, 0, ""],
                [C, f"data/tiles/{C}", "XE001", 0, 0, 0, "valid empty (no survivors)"],
                [D, f"data/tiles/{D}", "XE004", 0, 0, 0, "missing survivors csv"],
            ],
        )  # fmt: skip
        self.files["RUN_SUMMARY.txt"] = (
            f"run_dir: {_RUN}\nmode: full\ntiles_scanned: 5\nS0_rows_raw: 7\n"
            "dedup_rows: 6 (dropped=1)\nfinal_rows_for_stage_and_uploads: 6 (dedup set)\n\nDetection funnel:\n"
            "  pass2 unfiltered (veto_start_rows)  :     12,345\n\nPlate  Tiles\n"
        )
        everyone = [row[0] for row in kept]
        self.morph(everyone)
        self.shape(everyone[:4] + everyone[5:])
        left = [f"{A}:1", f"{A}:2", f"{A}:3", f"{B}:7"]
        self.stage("S1_GSC", left, ["has_gsc_match", "best_sep_arcsec", "gsc2_id"], {
            f"{A}:3": [1, 2.5, "N1"]}, [0, "", ""], {"cdstable": "I/353/gsc242"})  # fmt: skip
        left.remove(f"{A}:3")
        columns = ["has_skybot_match", "wide_skybot_match", "matched_count", "best_sep_arcsec"]
        self.stage("S2_SKYBOT", left[::-1], columns, {
            f"{A}:1": [False, True, 1, 31.5], f"{A}:2": [False, False, 0, 500.0]}, [False, False, 0, ""])  # fmt: skip
        scos = {"table": "supercosmos.sources", "mode": "keep_matches"}
        columns = ["has_supercosmos_match", "matched_count"]
        self.stage("S3_SCOS", left, columns, {f"{A}:2": [0, 0]}, [1, 1], scos, keeps=True)
        left.remove(f"{A}:2")
        part = {"per_part": [{"part": "part_0001", "http_status": 200}], "ptf_table": "ptf_objects"}
        self.stage("S4_PTF", left, ["has_ptf_match_ngood", "best_sep_arcsec"], {f"{B}:7": [1, ""]}, [0, ""], part)
        left.remove(f"{B}:7")
        self.stage("S5_VSX", left, ["is_known_variable_or_transient", "matched_count"], {}, [0, 0])
        self.stage("S6_SCOPE_DEC", left, ["is_rejected", "reject_reason"], {}, [0, ""])
        self.table(
            "survivors.csv", ["src_id", "tile_id", "ra", "dec", "plate_id", "obs_date", "run_id"],
            [
                [f"{A}:1", A, 0.2, 10.1, "XE001", "1953-01-10T23:65:00", "X1"],
                ["tile_RA50.000_DECp50.000:3", "elsewhere", 50, 50, "XE009", "1950-01-01T00:00:00", "X2"],
            ],
        )  # fmt: skip

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """A CSV file."""
        self.files[name] = "".join(",".join(map(str, row)) + "\n" for row in [columns, *rows])

    def morph(self, ids: list[str]) -> None:
        """A:4 is too wide, B:7 could not be judged."""
        columns = [
            "src_id", "ra", "dec", "tile_id", "object_id", "fwhm_image", "fwhm_ratio", "spread_model",
            "spreaderr_model", "spread_snr", "psf_fwhm_median", "psf_spread_median", "psf_star_count",
            "reject_flag", "reject_reason", "source_chunk",
        ]  # fmt: skip
        rows = []
        for i in ids:
            measured = [3.5, 1.25, -0.001, 0.0005, -2.0, 2.8, 0.0, 100, 0, ""]
            if i == f"{A}:4":
                measured = [5.6, 2.0, 0.01, 0.0005, 20.0, 2.8, 0.0, 100, 1, "fwhm_ratio=2.000>1.5;spread_snr=20.0>5.0"]
            if i.startswith(B):
                measured = ["", "", "", "", "", "", "", 0, 0, "psf_insufficient"]
            rows.append([i, *_place(i), *i.split(":"), *measured, "stage_S0.csv"])
        self.table("stage_S0M_MORPH_flags.csv", columns, rows)
        self.kept("S0M_MORPH", len(ids), [i for i in ids if i != f"{A}:4"], {"parameters": {"fwhm_ratio_max": 1.5}})

    def shape(self, ids: list[str]) -> None:
        """A:5 was never measured, A:2 has a printed elongation that equals the limit."""
        ids = [i for i in ids if i != f"{A}:4"] + [f"{A}:5"]
        columns = [
            "src_id", "tile_id", "object_id", "ra", "dec", "profile_diff", "circularity", "area",
            "shape_defect", "circle_deviation", "shape_confidence", "elongation", "stars_used",
            "rej_profile_diff", "rej_elongation", "rej_circularity", "reject_flag", "reject_reason",
            "shape_failed", "failure_reason", "source_chunk",
        ]  # fmt: skip
        rows = []
        for i in ids:
            measured = ["0.02", 0.9, 12, "", 0.2, "low", 1.1, 9, 0, 0, 0, 0, "", 0, ""]
            if i == f"{A}:5":
                measured = ["", "", "", "", "", "", "", "", 0, 0, 0, 0, "", 1, "cutout is off the image"]
            rows.append([i, *i.split(":"), *_place(i), *measured, "stage_S0M_MORPH.csv"])
        self.table("stage_S0S_SHAPE_flags.csv", columns, rows)
        self.kept("S0S_SHAPE", len(ids), [i for i in ids if i != f"{A}:5"], {})

    def stage(
        self,
        label: str,
        ids: list[str],
        columns: list[str],
        special: dict[str, list[Any]],
        usual: list[Any],
        ledger: dict[str, Any] | None = None,
        keeps: bool = False,
    ) -> None:
        """A stage that drops what its first column flags, or keeps it."""
        rows = {i: special.get(i, usual) for i in ids}
        self.table(
            f"stage_{label}_flags.csv", ["src_id", "ra", "dec", *columns], [[i, *_place(i), *rows[i]] for i in ids]
        )
        self.kept(label, len(ids), [i for i in ids if bool(rows[i][0]) == keeps], ledger or {})

    def kept(self, label: str, n_in: int, ids: list[str], ledger: dict[str, Any]) -> None:
        """The file of what was kept, and the ledger."""
        self.table(f"stage_{label}.csv", ["src_id", "ra", "dec"], [[i, *_place(i)] for i in ids])
        totals = {"input_rows": n_in, "kept_rows": len(ids)}
        self.files[f"stage_{label}_ledger.json"] = json.dumps({"run_dir": _RUN, "totals": totals} | ledger)

    def replace(self, name: str, old: str, new: str) -> None:
        """Change what a file says."""
        assert old in self.files[name], (name, old)
        self.files[name] = self.files[name].replace(old, new, 1)

    def write(self, folder: Path, compress: bool = False, place: Callable[[str], str] = lambda name: ".") -> Path:
        """Write all files below a folder, and return it."""
        for name, content in self.files.items():
            path = folder / place(name) / (name + ".gz" if compress else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(content.encode()) if compress else content.encode())
        return folder


def _place(src_id: str) -> tuple[str, str]:
    ra, dec = POSITIONS[src_id]
    return f"{ra:.10f}", f"{dec:.10f}"
