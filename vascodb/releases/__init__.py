"""Published releases and run folders of other pipelines: read, checked, and stored as external runs."""

from vascodb.releases.importing import import_release, release_extractions
from vascodb.releases.report import ImportReport

__all__ = ["ImportReport", "import_release", "release_extractions"]
