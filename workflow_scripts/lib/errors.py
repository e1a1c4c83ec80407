"""The error that is the user's to cure."""

from __future__ import annotations


class UserError(Exception):
    """Its message says what is wrong and what cures it; `cli.run` prints it as one line, without a traceback."""
