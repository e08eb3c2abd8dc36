"""The application: registers every command, and turns errors into one sentence and an exit code."""

import sys
from typing import Annotated

import typer

import objabn
from cli import bench, demo, evaluate, explain, export, masks, prepare, train

INTERRUPTED = 130

app = typer.Typer(
    name="objabn",
    help="Video action recognition that shows where it looks. Begin with: objabn demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("prepare")(prepare.prepare)
app.command("masks")(masks.masks)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("bench")(bench.bench)


def show_version(is_asked: bool) -> None:
    """Print the version and stop."""
    if is_asked:
        print(f"objabn {objabn.__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Take the options that belong to every command."""


def run() -> None:
    """Run the command line: exit code 0 is done, 1 failed, 2 wrong usage, 130 Ctrl-C; errors are one sentence without a traceback."""
    try:
        app()
    except (ValueError, OSError, RuntimeError) as error:
        if "--debug" in sys.argv:
            raise
        print(f"objabn: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ValueError) else 1)
    except SystemExit as stop:
        # Typer turns Ctrl-C into this code and says nothing.
        if stop.code == INTERRUPTED:
            print("objabn: interrupted.", file=sys.stderr)
        raise
