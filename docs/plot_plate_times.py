"""Draw the two figures of docs/plate-times.md from the database in use: `python docs/plot_plate_times.py`.

The database must hold the headers of plates and of the CD-ROMs (`vascodb load-plates`). Needs matplotlib.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from sqlalchemy import Connection, text

from vascodb.db import Database
from vascodb.settings import Settings

__all__ = ["draw"]

HERE = Path(__file__).resolve().parent
READINGS = {"literal": "as written", "decimal_hours": "minutes as hundredths of an hour", "corrected": "corrected"}
QUALITIES = {"agreed": "tab:green", "single": "tab:blue", "conflicting": "tab:red"}

# The hour angle by the start of each reading, less the header's. A start some time from that of a stored residual has
# another residual by sidereal time.
RESIDUALS = """
SELECT t.reading, r.residual_minutes - 1.0027379 * e.minutes + 1440 * round(e.minutes / 1440)
FROM plate.exposure_time AS t
JOIN plate.time_evidence AS r ON r.plate_id = t.plate_id AND r.kind = 'reading'
CROSS JOIN LATERAL (SELECT extract(epoch FROM t.start_utc - r.start_utc) / 60 AS minutes) AS e
WHERE t.source IN ('plate header', 'solution') AND t.start_utc IS NOT NULL
AND r.hypothesis = 'as written' AND r.day_offset = 0 AND r.residual_minutes IS NOT NULL
"""

# By the CD-ROM where it is in conflict: there is no corrected date then.
DAYS = """
SELECT
    p.plate_label, t.time_quality,
    coalesce(t.start_utc, c.start_utc)::date - CAST(p.date_obs_raw AS timestamp)::date
FROM api.plate_times AS t
JOIN plate.plate AS p USING (plate_id)
LEFT JOIN plate.exposure_time AS c ON c.plate_id = p.plate_id AND c.source = 'cdrom' AND c.reading = 'literal'
WHERE coalesce(t.start_utc, c.start_utc) IS NOT NULL AND p.plate_label ~ '^E[0-9]+$'
"""


def draw(connection: Connection, folder: Path) -> None:
    """Write both figures into a folder."""
    connection.execute(text("SET LOCAL timezone = 'UTC'"))
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    _draw_residuals(connection, folder / "plate-times-hour-angle.png")
    _draw_days(connection, folder / "plate-times-days.png")


def _draw_residuals(connection: Connection, path: Path) -> None:
    rows = connection.execute(text(RESIDUALS)).all()
    figure, panels = plt.subplots(len(READINGS), 1, figsize=(7.5, 5), sharex=True, layout="constrained")
    for panel, (reading, title) in zip(panels, READINGS.items(), strict=True):
        values = np.array([float(value) for name, value in rows if name == reading])
        panel.hist(values, bins=np.arange(-50, 31, 0.5), color="tab:gray")
        near = 100 * np.mean(np.abs(values) < 2)
        panel.set_title(f"{title}: {near:.0f} % within 2 minutes", loc="left")
        panel.set_ylabel("plates")
    panels[-1].set_xlabel("hour angle by this start less that of the header, minutes")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_days(connection: Connection, path: Path) -> None:
    rows = connection.execute(text(DAYS)).all()
    figure, panel = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
    for quality, colour in QUALITIES.items():
        points = [(int(label[1:]), days) for label, found, days in rows if found == quality and -2 <= days <= 3]
        label, days = np.array(points).reshape(-1, 2).T
        panel.plot(label, days, "|", color=colour, markersize=9, label=quality)
    panel.set_yticks([0, 1, 2])
    panel.set_ylim(-0.5, 2.5)
    panel.set_xlabel("plate label E…")
    panel.set_ylabel("true date less\nheader's, days")
    panel.legend(loc="upper right", ncols=len(QUALITIES), frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    with Database(Settings()).connect() as connection:
        draw(connection, HERE)
