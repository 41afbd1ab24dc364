"""Extraction configurations: the seed's values, what is refused, and what the hash depends on."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vascodb.errors import InputError, ToolError
from vascodb.extract import ExtractionConfig, load_config
from vascodb.extract.config import neural_network_path

SEED_TOML = Path(__file__).resolve().parents[2] / "vascodb" / "extract" / "configs" / "seed.toml"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = SEED_TOML.read_text(encoding="utf-8")
    assert text.count(old) == 1
    return write(tmp_path / "seed.toml", text.replace(old, new))


def test_seed_pass_1_is_unfiltered_and_pass_2_filtered(seed: ExtractionConfig) -> None:
    assert seed.pass1["FILTER"] == "N"
    assert seed.pass2["FILTER"] == "Y"
    assert seed.filter.text().split() == ["CONV", "NORM", *"121242121"]


@pytest.mark.parametrize("keys", ["pass1", "pass2"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DETECT_MINAREA", "5"), ("DETECT_THRESH", "5"), ("ANALYSIS_THRESH", "5"), ("PHOT_APERTURES", "5"),
        ("MAG_ZEROPOINT", "21.1"), ("SEEING_FWHM", "1.2"), ("BACK_SIZE", "64"), ("BACK_FILTERSIZE", "3"),
        ("BACKPHOTO_TYPE", "LOCAL"), ("WEIGHT_TYPE", "NONE"), ("PHOT_AUTOPARAMS", "2.5,3.5"),
    ],
)  # fmt: skip
def test_seed_thresholds(seed: ExtractionConfig, keys: str, key: str, value: str) -> None:
    assert getattr(seed, keys)[key] == value


@pytest.mark.parametrize("key", ["GAIN", "PIXEL_SCALE", "CLEAN", "SATUR_LEVEL", "DEBLEND_NTHRESH", "DEBLEND_MINCONT"])
def test_what_the_seed_leaves_to_sextractor_in_pass_2_stays_unset(seed: ExtractionConfig, key: str) -> None:
    assert key not in seed.pass2


@pytest.mark.parametrize("keys", ["pass1", "pass2"])
def test_the_stacks_that_change_values_stay_at_sextractors_defaults(seed: ExtractionConfig, keys: str) -> None:
    assert (getattr(seed, keys)["MEMORY_OBJSTACK"], getattr(seed, keys)["MEMORY_BUFSIZE"]) == ("3000", "1024")


def test_seed_psfex_keys(seed: ExtractionConfig) -> None:
    assert seed.psfex["PSF_SIZE"] == "25,25"
    assert seed.psfex["PSFVAR_DEGREES"] == "2"
    assert seed.psfex["SAMPLE_FWHMRANGE"] == "2.0,10.0"
    assert "VIGNET(45,45)" in seed.columns.pass1


def test_hash_does_not_depend_on_where_and_how_the_configuration_is_written(
    seed: ExtractionConfig, tmp_path: Path
) -> None:
    head, *tables = SEED_TOML.read_text(encoding="utf-8").split("\n[")
    other = write(tmp_path / "mine.toml", 'description = "mine"\n' + "\n".join(f"[{table}" for table in tables[::-1]))
    assert head.strip()
    assert load_config(other).sha256 == seed.sha256


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('ANALYSIS_THRESH = "5"\nPHOT', 'ANALYSIS_THRESH = "3"\nPHOT'),
        ("[2, 4, 2]", "[2, 5, 2]"),
        ('PSF_SAMPLING = "0.0"', 'PSF_SAMPLING = "0.5"'),
        ("VIGNET(45,45)", "VIGNET(35,35)"),
        ("normalised = true", "normalised = false"),
    ],
)
def test_hash_changes_with_every_part(seed: ExtractionConfig, tmp_path: Path, old: str, new: str) -> None:
    assert load_config(changed(tmp_path, old, new)).sha256 != seed.sha256


def test_hash_changes_with_the_content_of_the_neural_network_and_not_with_its_place(
    seed: ExtractionConfig, tmp_path: Path, fake_tool: Callable[[str, str], Path]
) -> None:
    original = neural_network_path()
    expected = seed.sha256
    prefix = fake_tool("source-extractor", "exit 0").parent.parent
    network = prefix / "share" / "source-extractor" / "default.nnw"
    network.parent.mkdir(parents=True)
    shutil.copyfile(original, network)
    assert neural_network_path() == network
    assert seed.sha256 == expected
    network.write_bytes(original.read_bytes() + b"\n")
    assert seed.sha256 != expected


def test_hash_is_a_sha256(seed: ExtractionConfig) -> None:
    assert len(seed.sha256) == hashlib.sha256().digest_size * 2


def test_hash_without_sextractor_says_how_to_install_it(
    seed: ExtractionConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="apt-get install source-extractor"):
        _ = seed.sha256


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"nosuch: no such extraction configuration; shipped are: .*seed"):
        load_config("nosuch")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('FILTER = "Y"', 'CATALOG_NAME = "x.cat"', "pass2: .*CATALOG_NAME cannot be configured"),
        ('FILTER = "Y"', 'filter = "Y"', "pass2.filter"),
        ('FILTER = "Y"', "FILTER = true", "pass2.FILTER"),
        ("[2, 4, 2]", "[2, 4]", "different lengths"),
        ("[psfex]", "[psfx]", "psfex: Field required"),
        ("normalised = true", "normalised = true\nscale = 2", "filter.scale: Extra inputs"),
        ('"VIGNET(45,45)"', '"VIGNET(45;45)"', "columns.pass1"),
        ("[psfex]", "[psfex", "not a TOML file"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        load_config(changed(tmp_path, old, new))
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)
