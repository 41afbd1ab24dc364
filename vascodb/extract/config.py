"""Extraction configurations: what SExtractor and PSFEx are told, with a hash that names the whole of it."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from vascodb.errors import InputError, ToolError
from vascodb.extract.tools import INSTALL_HINT, find_tool

__all__ = ["ExtractionConfig", "FilterKernel", "load_config", "neural_network_path"]

# Each pass names its own files, columns and verbosity; a configuration that also did would be overruled without a word.
_RESERVED_KEYS = frozenset(
    {
        "ASSOC_DATA", "ASSOC_NAME", "ASSOC_PARAMS", "ASSOC_RADIUS", "ASSOC_TYPE", "ASSOCCOORD_TYPE", "ASSOCSELEC_TYPE",
        "CATALOG_NAME", "CATALOG_TYPE", "CHECKIMAGE_NAME", "CHECKIMAGE_TYPE", "CHECKPLOT_DEV", "CHECKPLOT_TYPE",
        "FILTER_NAME", "NTHREADS", "OUTCAT_TYPE", "PARAMETERS_NAME", "PSF_DIR", "PSF_NAME", "PSF_SUFFIX",
        "PSFVAR_NSNAP", "STARNNW_NAME", "VERBOSE_TYPE", "WRITE_XML",
    }
)  # fmt: skip


def _refuse_reserved(keys: dict[str, str]) -> dict[str, str]:
    if reserved := sorted(_RESERVED_KEYS & keys.keys()):
        raise ValueError(f"{', '.join(reserved)} cannot be configured; vascodb sets it for every run itself")
    return keys


KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]
ToolKeys = Annotated[dict[KeyName, Annotated[str, StringConstraints(min_length=1)]], AfterValidator(_refuse_reserved)]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*(\(\d+(,\d+)?\))?$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FilterKernel(_Frozen):
    """The convolution of the detection image in pass 2.

    Parameters
    ----------
    normalised : bool
        Divide by the sum of the kernel.
    kernel : list of list of int
        Rows of equal length.
    """

    normalised: bool
    kernel: Annotated[list[list[int]], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_rectangle(self) -> "FilterKernel":
        if len({len(row) for row in self.kernel}) != 1:
            raise ValueError("the rows of the kernel have different lengths")
        return self

    def text(self) -> str:
        """Return the content of a SExtractor ``.conv`` file."""
        rows = (" ".join(str(weight) for weight in row) for row in self.kernel)
        return "\n".join(["CONV NORM" if self.normalised else "CONV NONORM", *rows]) + "\n"


class Columns(_Frozen):
    """The output columns a configuration chooses; those of pass 2 are fixed in `vascodb.extract.ldac`."""

    pass1: Annotated[list[ColumnName], Field(min_length=1)]


class ExtractionConfig(_Frozen):
    """A named set of SExtractor and PSFEx keys.

    Parameters
    ----------
    name : str
        Name of the configuration; not part of its content.
    description : str
        One line for people; not part of its content.
    filter : `FilterKernel`
        Detection filter of the passes that say ``FILTER Y``.
    pass1, pass2, psfex : dict of str
        Keys and values, as the tools read them.
    columns : `Columns`
        Output columns of pass 1, which are what PSFEx reads.
    """

    name: str
    description: str
    filter: FilterKernel
    pass1: ToolKeys
    pass2: ToolKeys
    psfex: ToolKeys
    columns: Columns

    @property
    def sha256(self) -> str:
        """Hash of everything that decides the numbers: keys, filter, columns and the neural network of CLASS_STAR.

        Raises
        ------
        ToolError
            SExtractor's neural network is not installed.
        """
        content = self.model_dump(mode="json", exclude={"name", "description"})
        content["star_neural_network_sha256"] = hashlib.sha256(neural_network_path().read_bytes()).hexdigest()
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def neural_network_path() -> Path:
    """Return the neural network (``default.nnw``) that came with the installed SExtractor.

    Raises
    ------
    ToolError
        SExtractor or its neural network is not installed.
    """
    tool = find_tool("source-extractor")
    prefix = tool.path.parent.parent
    folders = [root / "share" / name for root in (prefix, Path("/usr")) for name in ("source-extractor", "sextractor")]
    for folder in folders:
        if (path := folder / "default.nnw").is_file():
            return path
    searched = ", ".join(dict.fromkeys(str(folder) for folder in folders))
    raise ToolError(f"source-extractor's default.nnw is in none of {searched}; {INSTALL_HINT['source-extractor']}")


def load_config(name: str | Path) -> ExtractionConfig:
    """Read an extraction configuration.

    Parameters
    ----------
    name : str or `~pathlib.Path`
        Name of a configuration shipped with vascodb (``seed``), or the path of a ``.toml`` file with the same tables.

    Returns
    -------
    `ExtractionConfig`

    Raises
    ------
    InputError
        There is no such configuration, or a key of it is unknown, reserved or malformed.
    """
    shipped = {
        Path(entry.name).stem: entry
        for entry in resources.files("vascodb.extract").joinpath("configs").iterdir()
        if entry.name.endswith(".toml")
    }
    if isinstance(name, str) and name in shipped:
        return _parse(name, str(name), shipped[name].read_text(encoding="utf-8"))
    path = Path(name)
    if path.suffix != ".toml" or not path.is_file():
        raise InputError(
            f"{name}: no such extraction configuration; shipped are: {', '.join(sorted(shipped))}; "
            "or give the path of a .toml file"
        )
    return _parse(path.stem, str(path), path.read_text(encoding="utf-8"))


def _parse(name: str, source: str, text: str) -> ExtractionConfig:
    try:
        content: Mapping[str, object] = tomllib.loads(text)
        return ExtractionConfig.model_validate({"name": name, **content})
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source}: not a TOML file: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{source}: {where}: {first['msg']}; correct that line") from error
