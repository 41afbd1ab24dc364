"""What a fetch has done so far."""

from dataclasses import dataclass, fields, replace

__all__ = ["FetchTotals"]

_FAILURES_KEPT = 20


@dataclass(frozen=True)
class FetchTotals:
    """Counts of a fetch's units and rows.

    Parameters
    ----------
    planned : int
        Units there are to do, the parts of split ones included.
    complete, split, failed : int
        Units answered whole, cut and asked for again in parts, and failed.
    skipped : int
        Units that were known already.
    given_up : int
        Units not tried, because the service was down.
    outside : int
        Positions that were not asked about, because they lie outside the survey: not covered by it.
    rows, rows_new : int
        Rows in whole answers, and how many of them the catalogue did not have.
    failures : tuple of str
        The first failures, one line each.
    """

    planned: int = 0
    complete: int = 0
    split: int = 0
    failed: int = 0
    skipped: int = 0
    given_up: int = 0
    outside: int = 0
    rows: int = 0
    rows_new: int = 0
    failures: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """Units that are finished, however they ended."""
        return self.complete + self.split + self.failed + self.skipped

    def plus(self, failure: str | None = None, **more: int) -> "FetchTotals":
        """The totals with some counts increased, and one more failure."""
        counts = {name: getattr(self, name) + by for name, by in more.items()}
        failures = (*self.failures, failure) if failure else self.failures
        return replace(self, failures=failures[:_FAILURES_KEPT], **counts)

    def __add__(self, other: "FetchTotals") -> "FetchTotals":
        """Totals of two fetches together."""
        values = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return FetchTotals(**values | {"failures": values["failures"][:_FAILURES_KEPT]})
