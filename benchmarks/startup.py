"""How long the command line takes to answer, beside what it is made of: `python -m benchmarks.startup`."""

import subprocess
import sys
from functools import partial

from benchmarks.result import Row, measure, timings_row

PROGRAMS = {
    "bare": "pass",
    "import objabn": "import objabn",
    "libraries": "import typer, rich",
    "objabn --help": "import sys; sys.argv = ['objabn', '--help']; from cli.main import run; run()",
}
"""Each is a Python of its own, as a shell starts it; bytecode must be on disk, as an installation leaves it."""


def run(*, repeats: int = 15) -> list[Row]:
    """Time `import objabn` beside Python alone, and `objabn --help` beside the import of typer and rich."""
    timings = measure({name: partial(start, code) for name, code in PROGRAMS.items()}, repeats=repeats)
    return [
        timings_row("startup", "import objabn", timings, ours="import objabn", peer="bare", peer_name="Python alone"),
        timings_row("startup", "objabn --help", timings, ours="objabn --help", peer="libraries", peer_name="import typer, rich"),
    ]


def start(code: str) -> None:
    """Run a program in a Python of its own."""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


if __name__ == "__main__":
    for row in run():
        print(f"{row.case}: {row.ours:.0f} ms, {row.peer_name} {row.peer:.0f} ms, {row.speedup:.2f}x, spread {row.spread:.0%}")
