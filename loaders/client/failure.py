"""What can go wrong with a look-up, by name."""

from enum import StrEnum

__all__ = ["Cause", "LookupFailure"]


class Cause(StrEnum):
    """Kinds of failure; ``ref.lookup.cause`` holds their values.

    Each member's text is what it means; docs/how-to/look-ups.md is made of these.
    """

    meaning: str

    def __new__(cls, value: str, meaning: str) -> "Cause":
        """Attach the meaning to the value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    DNS = "dns", "the service's name has no address"
    REFUSED = "refused", "nobody listens at the service's address"
    TLS = "tls", "the service could not prove who it is"
    CONNECT_TIMEOUT = "connect_timeout", "no connection within the time allowed"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout", "connected, but silent for longer than allowed"
    TOO_SLOW = "too_slow", "the answer was not whole within the time allowed"
    RESET = "reset", "the connection was closed in the middle of the answer"
    RATE_LIMITED = "rate_limited", "the service asks for fewer queries (429)"
    UNAVAILABLE = "unavailable", "the service is down or out of order (5xx)"
    HTTP_ERROR = "http_error", "the service refuses the query (4xx)"
    NOT_THE_FORMAT = "not_the_format", "the answer is something else, such as a page for people"
    SERVICE_ERROR = "service_error", "the service reports an error of its own"
    TRUNCATED = "truncated", "the answer ends before its end"
    TOO_BIG = "too_big", "the answer is longer than allowed"
    OVERFLOW = "overflow", "the service says that it cut the answer"
    ROW_CAP = "row_cap", "exactly as many rows as the service sends at most"
    MISSING_COLUMN = "missing_column", "a column that was asked for is not there"
    WRONG_UNIT = "wrong_unit", "a column is in another unit than it should be"
    BAD_ROWS = "bad_rows", "a row is impossible, such as one without a position"
    DUPLICATE_ROWS = "duplicate_rows", "a source occurs more than once"
    WRONG_SKY = "wrong_sky", "a row lies outside the region that was asked for"
    BAD_FILE = "bad_file", "a local file is missing, damaged, or not of the sky that it is filed under"
    CONTRADICTION = "contradiction", "a source is stored with other values"
    EMPTY_UNCONFIRMED = "empty_unconfirmed", "no rows, or hardly any, and no proof that the service sees what is there"
    CANARY = "canary", "a position whose answer is known came back wrong"

    @property
    def asks_for_less(self) -> bool:
        """Whether asking for a part of the region may help, and asking again cannot."""
        return self in (Cause.OVERFLOW, Cause.ROW_CAP, Cause.TOO_BIG)

    @property
    def is_worth_retrying(self) -> bool:
        """Whether the same question may be answered well the next time, or by a mirror."""
        return not self.asks_for_less and self is not Cause.CONTRADICTION


class LookupFailure(Exception):  # noqa: N818
    """One look-up did not bring a whole answer.

    It never reaches the user as such: it becomes a row of evidence, and a gap in the coverage.

    Parameters
    ----------
    cause : `Cause`
        What kind of failure.
    detail : str
        One line of what was seen.
    http_status : int, optional
        Status of the answer, if there was one.
    retry_after_s : float, optional
        How long the service asks to be left alone, seconds.
    """

    def __init__(
        self, cause: Cause, detail: str, http_status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        self.cause = cause
        # Services' own words may hold anything, zero bytes too, which no database takes.
        printable = "".join(c if c.isprintable() else " " for c in detail.encode("utf-8", "replace").decode())
        self.detail = " ".join(printable.split())[:500]
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        super().__init__(f"{cause.value}: {self.detail}")
