"""How far beyond detections a catalogue has to be known, because stages search farther than a match radius."""

from sqlalchemy import Connection, text

from vascodb.ids import canonical_json
from vascodb.profiles import load_profile, profile_names

__all__ = ["stage_rim_arcsec"]


def stage_rim_arcsec(connection: Connection, catalog: str) -> float:
    """Width of the rim about an image that must be covered too, or its outermost detections could not be judged.

    It is the widest that any stage of the profiles, or of a run that is stored, needs of the catalogue: a fetch
    comes before the runs, and does not know by which profiles.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        To an initialised database.
    catalog : str
        A registered catalogue.

    Returns
    -------
    float
        Arcsec; 0 where no stage searches beyond the match radius.
    """
    parameters = [dict(stage.parameters) for name in profile_names() for stage in load_profile(name).stages]
    rim: float = connection.scalar(
        text("SELECT ref.stage_rim_arcsec(:catalog, CAST(:parameters AS jsonb))"),
        {"catalog": catalog, "parameters": canonical_json(parameters)},
    )
    return rim
