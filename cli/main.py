"""The application: its options, and errors as one sentence and an exit code."""

import io
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from cli.commands import LazyGroup
from cli.errors import sentence
from cli.version import show_version

STOPPED = {130: "interrupted", 143: "terminated"}
"""What is said at the exit codes of Ctrl-C and SIGTERM."""

app = typer.Typer(
    name="objabn",
    cls=LazyGroup,
    help="Video action recognition that shows where it looks. Begin with: objabn demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the versions of objabn and what it stands on.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Take the options that belong to every command."""


def run() -> None:
    """Run the command line: exit code 0 is done, 1 failed, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM; errors are one sentence."""
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        # As an error would, so that nothing half-made is left and no process stays behind.
        received.append(number)
        raise SystemExit(128 + number)

    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names may hold what no encoding does.
        sys.stdout.reconfigure(errors="backslashreplace")
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    if hasattr(signal, "SIGUSR1"):
        # It asks a training for a checkpoint, and must end nothing that comes before or after the steps.
        before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        app()
    except SystemExit as ending:
        code = ending.code
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        # What fails after a signal fails because of it.
        code = 128 + received[0] if received else 2 if isinstance(error, ValueError) else 1
        if not received:
            print(f"objabn: {sentence(error)}", file=sys.stderr)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code in STOPPED:
        print(f"objabn: {STOPPED[code]}.", file=sys.stderr)
    sys.exit(code)
