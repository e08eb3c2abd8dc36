"""Little folders of sources and lists: files that only have to exist, and texts."""

from pathlib import Path

from objabn.data.sources import Entry, Listing


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def write_texts(root: Path, texts: dict[str, str]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / name).write_bytes(text.encode())
    return root


def by_name(listing: Listing) -> dict[str, Entry]:
    return {entry.name: entry for entry in listing.entries}
