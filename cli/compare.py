"""`objabn compare`: runs and explainers side by side, with intervals and paired differences."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.completion import complete_dataset, complete_run
from cli.evaluate import Checkpoint, Subset
from cli.places import DataOption
from cli.train import Loader

if TYPE_CHECKING:
    from objabn.comparison import Comparison
    from objabn.comparison.layout import Entry, Layout


class ExplainedClass(StrEnum):
    """Which class explainers explain."""

    predicted = "predicted"
    true = "true"


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", autocompletion=complete_run)],
    *,
    method: Annotated[str, typer.Option(help="Explainers beside the networks' own maps, with commas between them.")] = "attention,gradcam",
    measure: Annotated[str, typer.Option(help="What to measure of maps; otherwise all. Insertion and deletion are dear.")] = "",
    explained: Annotated[ExplainedClass, typer.Option("--class", help="The class that is explained.")] = ExplainedClass.predicted,
    layer: Annotated[str | None, typer.Option(help='Whose features explainers look at; "attended" is that under the maps.')] = None,
    dataset: Annotated[str | None, typer.Option(help="Another dataset with the same classes.", autocompletion=complete_dataset)] = None,
    subset: Annotated[Subset | None, typer.Option(help="Otherwise test, or val where there is no test.")] = None,
    checkpoint: Annotated[Checkpoint | None, typer.Option(help="Otherwise best, or last where there is no best.")] = None,
    videos: Annotated[int | None, typer.Option(min=1, help="So many videos, spread over the classes; otherwise all.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Parts in which insertion and deletion show and hide a clip.")] = 16,
    tolerance: Annotated[float, typer.Option(min=0, help="Cells by which objects are enlarged for pointing.")] = 0.0,
    baseline: Annotated[Path | None, typer.Option(help="The run that others are compared with; otherwise the first.")] = None,
    bootstrap: Annotated[int, typer.Option(min=100, help="Resamples of the videos.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything to this file, single videos too.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to this file as Markdown.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Write the tables to this file as LaTeX.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where finished work is kept; otherwise RUN/comparison.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how long it will take, and measure nothing.")] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    loader: Annotated[Loader | None, typer.Option(help="reader needs no DALI.")] = None,
    data: DataOption = Path("data"),
) -> None:
    """Compare runs and explainers on the same videos: accuracy, sharpness and place of maps, and what they mean for the answer.

    Finished work is kept, so that the same command goes on after it was stopped, or with one method more.

    Example: objabn compare runs/abn runs/object_abn3 --method attention,gradcam --markdown table.md
    """
    from cli.comparing import compare_subjects, cost_sentence, open_subjects, plan_work
    from cli.processes import refuse_ranks
    from objabn.comparison import Measuring

    refuse_ranks("compare")
    settings = Measuring(
        methods=words(method), explained=explained.value, layer=layer, measures=words(measure), steps=steps, tolerance=tolerance
    )
    subjects = open_subjects(runs, {"data.dataset": dataset, "data.loader": loader and loader.value, "run.device": device}, checkpoint)
    base = baseline_name(baseline, runs, [subject.name for subject in subjects])
    work = plan_work(subjects, settings, subset=subset and subset.value, videos=videos, data=data, out=out)
    for subject in subjects:
        print(cost_sentence(subject, work))
    if not dry_run:
        comparison = compare_subjects(work, baseline=base, resamples=bootstrap, seed=seed)
        show(comparison)
        write(comparison, json_file, markdown, latex)


def words(text: str) -> tuple[str, ...]:
    """Return the words between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def baseline_name(baseline: Path | None, runs: list[Path], names: list[str]) -> str:
    """Return the name of the run that others are compared with."""
    if baseline is None:
        return names[0]
    places = [place for place, run in enumerate(runs) if run.resolve() == baseline.resolve() or names[place] == str(baseline)]
    if not places:
        raise ValueError(f"--baseline {baseline} is none of the runs; choose of {', '.join(names)}.")
    return names[places[0]]


def show(comparison: "Comparison") -> None:
    """Print the tables, and what one must know to read them."""
    from cli.tables import table_console
    from objabn.comparison.layout import layouts

    console = table_console()
    for table in layouts(comparison):
        console.print(table.title, style="bold", highlight=False, markup=False)
        console.print(rich_table(table))
    for note in comparison.notes():
        console.print(note, highlight=False, markup=False)


def rich_table(table: "Layout") -> object:
    """Return a table for the screen, intervals below their numbers."""
    from rich import box
    from rich.table import Column, Table
    from rich.text import Text

    columns = [
        Column(Text(text), justify="left" if place < table.names else "right", overflow="fold") for place, text in enumerate(table.head)
    ]
    found = Table(*columns, box=box.SIMPLE_HEAD)

    def cell(entry: "Entry") -> Text:
        number = Text(f"{entry.text}*" if entry.is_bold else entry.text, style="bold" if entry.is_bold else "")
        return number.append(f"\n{entry.interval}" if entry.interval else "", style="dim")

    for row in table.rows:
        found.add_row(*map(cell, row))
    return found


def write(comparison: "Comparison", json_file: Path | None, markdown: Path | None, latex: Path | None) -> None:
    """Write the files that were asked for."""
    from objabn.comparison import markup
    from objabn.comparison.layout import layouts
    from objabn.files import write_json, write_text

    tables, notes = layouts(comparison), comparison.notes()
    if json_file is not None:
        write_json(json_file, comparison.to_dict())
    if markdown is not None:
        write_text(markdown, markup.markdown(tables, notes))
    if latex is not None:
        write_text(latex, markup.latex(tables, notes))
    for path in filter(None, (json_file, markdown, latex)):
        print(f"Written to {path}.")
