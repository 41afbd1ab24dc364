"""Statements that merge the staged rows of a release; each takes the name of its staging table."""

from vascodb.releases.measures import MORPH_COLUMNS, SHAPE_COLUMNS

__all__ = ["DETECTIONS", "MATCHES", "MORPH", "SHAPE", "TILES", "VERDICTS"]

TILES = (
    """
    INSERT INTO plate.tile (tile_id, ra, dec, size_arcmin)
    SELECT tile_id, ra, dec, :size_arcmin FROM {staging} ORDER BY tile_id
    ON CONFLICT (tile_id) DO NOTHING
    """,
    """
    INSERT INTO plate.image (
        image_id, status, plate_id, planned_plate, band, tile_id, ra, dec, radius_deg, footprint, date_obs_raw,
        epoch_jyear, time_quality, release_id
    )
    SELECT
        image_id, 'imported', planned_plate, planned_plate, 'red', tile_id, ra, dec, radius_deg,
        CAST(footprint AS int8multirange), date_obs_raw, epoch_jyear, time_quality, :release_id
    FROM {staging}
    ORDER BY q3c_ang2ipix(ra, dec)
    """,
    """
    INSERT INTO vasco.extraction (
        extraction_id, image_id, config_name, config_sha256, sextractor_version, psfex_version, n_detections,
        tool_warnings
    )
    SELECT extraction_id, image_id, 'imported', 'unknown', 'unknown', 'unknown', n_detections, '{{}}'
    FROM {staging}
    WHERE extraction_id IS NOT NULL
    ORDER BY q3c_ang2ipix(ra, dec)
    """,
    """
    INSERT INTO vasco.release_tile (
        release_id, tile_id, image_id, extraction_id, obs_start, status, note, plate_source, psf_stars, rows_filtered,
        rows_emitted
    )
    SELECT
        :release_id, tile_id, image_id, extraction_id, CAST(obs_start AS timestamptz), status, note, plate_source,
        psf_stars, rows_filtered, rows_emitted
    FROM {staging}
    ORDER BY tile_id
    """,
)
DETECTIONS = """
    INSERT INTO vasco.detection (
        extraction_id, number, ra, dec, hpx29, fwhm_image, spread_model, spreaderr_model, elongation
    )
    SELECT extraction_id, number, ra, dec, hpx29, fwhm_image, spread_model, spreaderr_model, elongation
    FROM {staging}
    ORDER BY q3c_ang2ipix(ra, dec)
"""
MORPH = f"""
    INSERT INTO vasco.morph_measure (extraction_id, number, {", ".join(MORPH_COLUMNS)})
    SELECT extraction_id, number, {", ".join(MORPH_COLUMNS)}
    FROM {{staging}}
    ORDER BY extraction_id, number
"""
SHAPE = f"""
    INSERT INTO vasco.shape_measure (
        extraction_id, number, variant, {", ".join(SHAPE_COLUMNS)}, confidence, published_rejections, failure
    )
    SELECT
        extraction_id, number, 'inverted', {", ".join(SHAPE_COLUMNS)}, confidence, string_to_array(rejections, ';'),
        failure
    FROM {{staging}}
    ORDER BY extraction_id, number
"""
VERDICTS = """
    INSERT INTO vasco.published_verdict (extraction_id, number, stage, rejected, reason, metrics, lookup_id)
    SELECT extraction_id, number, stage, rejected = 1, reason, CAST(metrics AS jsonb), lookup_id
    FROM {staging}
    ORDER BY extraction_id, number, stage
"""
MATCHES = """
    INSERT INTO vasco.imported_match (
        extraction_id, number, catalog, state, source, sep_arcsec, n_within, lookup_id, lookup_complete, reason
    )
    SELECT
        extraction_id, number, catalog, CAST(state AS vasco.look_state), source, sep_arcsec, n_within, lookup_id,
        lookup_complete = 1, reason
    FROM {staging}
    ORDER BY extraction_id, number
"""
