"""vascodb: plate detections, reference stars, look-ups and verdicts in PostgreSQL + Q3C."""

from importlib.metadata import version

__version__ = version("vascodb")
__all__ = ["__version__"]
