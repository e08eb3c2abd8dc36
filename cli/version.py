"""`objabn --version`: objabn and what it stands on."""

import typer


def show_version(is_asked: bool) -> None:
    """Print the versions, objabn's own first, and stop."""
    from objabn.versions import versions

    if is_asked:
        found = versions() | {"ffmpeg": ffmpeg_version()}
        print("\n".join(f"{name} {version}" for name, version in found.items()))
        raise typer.Exit


def ffmpeg_version() -> str:
    """Return the version of the FFmpeg inside PyAV, or why it cannot be had."""
    try:
        from av import ffmpeg_version_info
    except ImportError as error:
        return f"not found ({error})"
    return ffmpeg_version_info
