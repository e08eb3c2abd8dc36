"""One line of a diagnosis."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """What one check found."""

    status: Literal["ok", "note", "problem"]
    """`note` is something to know, `problem` something to mend."""
    subject: str
    """What was looked at, in a word or two."""
    text: str
    """What was found."""
    remedy: str = ""
    """What to do about it; never empty with a problem."""
    stops_training: bool = False
    """Whether nothing can be trained before it is mended."""


def ok(subject: str, text: str) -> Finding:
    """Return a finding of something in order."""
    return Finding("ok", subject, text)


def note(subject: str, text: str, remedy: str = "") -> Finding:
    """Return a finding of something to know."""
    return Finding("note", subject, text, remedy)


def problem(subject: str, text: str, remedy: str, *, stops_training: bool = False) -> Finding:
    """Return a finding of something to mend, with the way to do it."""
    return Finding("problem", subject, text, remedy, stops_training)
