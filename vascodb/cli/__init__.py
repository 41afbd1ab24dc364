"""The command line: one thin module per group of verbs; each parses, calls and prints."""

from vascodb.cli.main import main

__all__ = ["main"]
