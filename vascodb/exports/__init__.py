"""Runs as folders in the seeds' own form, to be held against those that users have."""

from vascodb.exports.folder import WrittenFile, export_run

__all__ = ["WrittenFile", "export_run"]
