"""The errors users can meet, each with the exit status the command line gives it.

Every message is one line that says what is wrong, where, and what to do about it.
"""

__all__ = [
    "InputError",
    "SchemaVersionError",
    "ServiceError",
    "ToolError",
    "VascodbError",
    "WrongSurveyError",
]


class VascodbError(Exception):
    """Base of all errors meant for the user; ``exit_status`` is what the command line returns."""

    exit_status = 1


class InputError(VascodbError):
    """A file or a value given by the user cannot be used; the message names it and says why."""


class WrongSurveyError(InputError):
    """An image was read without fault but is not a POSS-I red plate; it is recorded and refused."""


class ToolError(VascodbError):
    """SExtractor or PSFEx is missing or failed; the message carries the tool's own last lines."""


class ServiceError(VascodbError):
    """The database or a remote service is not available; running the same command again is safe."""

    exit_status = 4


class SchemaVersionError(VascodbError):
    """The database was made by another version of the schema than this code expects."""

    exit_status = 5
