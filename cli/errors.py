"""What is said when something goes wrong: one sentence that names what was given and what to do."""

import errno
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def sentence(error: Exception) -> str:
    """Return an error as one line: its own words, or what the system's mean here."""
    if isinstance(error, OSError) and error.errno:
        return printable(system_sentence(error))
    if isinstance(error, MemoryError):
        return "There is not enough memory for this; close other programs, or ask for less at once."
    if isinstance(error, (ValueError, OSError, RuntimeError)):
        return printable(str(error))
    return printable(f"An unforeseen error: {type(error).__name__}: {error}; run it again with --debug in front to see where.")


def system_sentence(error: OSError) -> str:
    """Return what a refusal of the system means, and for which place."""
    path = Path(error.filename or "A file")
    # Files are written under a hidden name first, which says nothing to anybody.
    place = path.parent if path.name.startswith(".") else path
    if error.errno in FULL:
        return f"{place} cannot be written ({error.strerror}); make room and run it again (train with --resume); what is finished is kept."
    if error.errno in FORBIDDEN:
        return f"{place} may not be read or written here ({error.strerror}); have that changed, or choose another folder."
    return f"{place} cannot be used ({error.strerror}); give another path."


def printable(text: str) -> str:
    """Return text with everything escaped that a terminal cannot show or would obey, as file names may hold."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
