import numpy as np
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table

from vascodb.ids import file_sha256
from vascodb.plates.solution import read_astrometry
from vascodb.simulate import SimulatedPlate, simulate_plate, write_simulation


def test_the_same_specification_gives_the_same_bytes(small_spec, small_plate, tmp_path):
    first = write_simulation(small_plate, tmp_path / "a")
    second = write_simulation(simulate_plate(small_spec), tmp_path / "b")
    for name in ("image", "reference", "truth"):
        assert file_sha256(getattr(first, name)) == file_sha256(getattr(second, name))


def test_writing_again_replaces_the_files(small_plate, tmp_path):
    files = write_simulation(small_plate, tmp_path)
    before = file_sha256(files.image)
    assert write_simulation(small_plate, tmp_path) == files
    assert file_sha256(files.image) == before


def test_the_image_reads_back_with_its_astrometry(small_plate, tmp_path):
    files = write_simulation(small_plate, tmp_path)
    with fits.open(files.image) as hdus:
        hdus.verify("exception")
        np.testing.assert_array_equal(hdus[0].data, small_plate.image)
        written, in_memory = read_astrometry(hdus[0].header), read_astrometry(small_plate.header)
    assert written == in_memory


def test_the_reference_reads_back_with_units_unknown_motions_and_its_cone(small_plate, tmp_path):
    reference = Table.read(write_simulation(small_plate, tmp_path).reference)
    assert reference.colnames == ["source_id", "ra", "dec", "pmra", "pmdec", "phot_g_mean_mag"]
    assert [str(reference[name].unit) for name in ("ra", "pmra", "phot_g_mean_mag")] == ["deg", "mas / yr", "mag"]
    assert reference["source_id"].dtype == np.int64
    np.testing.assert_array_equal(reference["pmra"].mask, small_plate.reference["pmra"].mask)
    np.testing.assert_array_equal(reference["ra"], small_plate.reference["ra"])
    assert reference.meta["cone"] == small_plate.reference.meta["cone"]
    assert reference.meta["ref_epoch"] == 2016.0


def test_the_truth_reads_back_with_units_and_metadata(small_plate, tmp_path):
    truth = Table.read(write_simulation(small_plate, tmp_path).truth)
    assert truth.meta["limit_5sigma_mag"] == small_plate.truth.meta["limit_5sigma_mag"]
    assert str(truth["ra"].unit) == "deg"
    np.testing.assert_array_equal(truth["mag"].mask, truth["kind"] == "defect")


def test_a_big_reference_is_parquet_with_the_same_content(small_plate, tmp_path):
    small = small_plate.reference
    big = Table({name: np.ma.concatenate([small[name].data] * (1 + 100_000 // len(small))) for name in small.colnames})
    big.meta.update(small.meta)
    for name in small.colnames:
        big[name].unit = small[name].unit
    plate = SimulatedPlate(small_plate.spec, small_plate.header, small_plate.image, big, small_plate.truth)
    path = write_simulation(plate, tmp_path).reference
    assert path.suffix == ".parquet"
    arrow = pq.read_table(path)
    assert arrow.num_rows == len(big)
    assert arrow["pmra"].null_count == int(big["pmra"].mask.sum())
    assert arrow.schema.field("ra").metadata == {b"unit": b"deg"}
    np.testing.assert_array_equal(arrow["ra"].to_numpy(), big["ra"])
