"""How measurements are printed."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.result import Row
from benchmarks.roofline import PartRow


def show(rows: Sequence[Row], parts: Sequence[PartRow], console: Console | None = None) -> None:
    """Print comparisons, and where the time goes."""
    console = console or Console(width=180)
    if rows:
        console.print(rows_table(rows))
    if parts:
        console.print(parts_table(parts))


def rows_table(rows: Sequence[Row]) -> Table:
    """Return a table of comparisons."""
    table = Table("suite", "case", "ours", "peer", "peer is", "unit", "speedup", "spread", "exact", "peer exact", title="objabn bench")
    for row in rows:
        exact, peer_exact = ({True: "yes", False: "NO", None: ""}[value] for value in (row.frame_exact, row.peer_exact))
        ours, peer = ("" if value is None else f"{value:.4g}" for value in (row.ours, row.peer))
        speedup = "" if row.speedup is None else f"{row.speedup:.2f}x"
        spread = "" if row.spread is None else f"{row.spread:.0%}"
        table.add_row(row.suite, row.case, ours, peer, row.peer_name, row.unit, speedup, spread, exact, peer_exact)
    return table


def parts_table(parts: Sequence[PartRow]) -> Table:
    """Return the roofline: times, work, and the shares of what the machine can do."""
    table = Table("suite", "part", "ms", "of the time", "MB moved", "MB at least", "GFLOP", title="where the time goes")
    for name in ("of the bandwidth", "at least", "of the matrix rate", "bound by"):
        table.add_column(name)
    for part in parts:
        numbers = (part.megabytes, part.least_megabytes, part.gigaflops)
        shares = (part.bandwidth_share, part.least_share, part.matrix_share)
        table.add_row(
            part.suite,
            part.part,
            f"{part.milliseconds:.4g}",
            f"{part.share:.1%}",
            *(f"{number:.4g}" for number in numbers),
            *(f"{share:.1%}" for share in shares),
            part.bound,
        )
    return table
