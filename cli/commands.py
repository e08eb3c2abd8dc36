"""The commands by name, each loaded when it is asked for: help and errors wait for none of them."""

from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Described(NamedTuple):
    """What the list of commands says of one; its function stands in the module of its name."""

    panel: str
    help: str


COMMANDS = {
    "demo": Described("Begin", "Train Object-ABN with three maps on synthetic videos whose class is a motion, and report where it looks."),
    "doctor": Described("Begin", "Say what this machine can do, and how to mend what it cannot; exit code 1 if it cannot train."),
    "prepare": Described("Data", "Pack a dataset: every listed video is decoded once, from start to end."),
    "masks": Described("Data", "Make the object masks of a packed dataset; run by torchrun, every process takes a part."),
    "train": Described("Train", "Train a network on a packed dataset and evaluate it."),
    "evaluate": Described("Train", "Evaluate a run on a subset."),
    "explain": Described("Look and share", "Draw where the network looks in each video: pictures, films, and the maps themselves."),
    "predict": Described("Look and share", "Print the likeliest classes of each video, one line of JSON for each."),
    "report": Described("Look and share", "Show runs in one HTML file that needs nothing else."),
    "view": Described("Look and share", "Look at any video with a network on a local page: answers, maps, and maps that you edit."),
    "export": Described("Look and share", "Write the best network of a run: safetensors, onnx or pt2."),
    "models": Described("Measure", "Show backbones and attention systems with their parameters, multiply-adds and map sizes."),
    "compare": Described("Measure", "Compare runs and explainers on the same videos."),
    "reproduce": Described("Measure", "Make the paper's table anew: every row trained, evaluated and compared, with intervals."),
    "bench": Described("Measure", "Measure the attention-branch core, the loader, the training step or explainers beside their peers."),
}


class LazyGroup(TyperGroup):
    """A group whose commands are imported one by one; its own help is plain text, since rich's takes longer than Python itself."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        loaded: dict[str, Any] = dict.fromkeys(COMMANDS)
        self.commands = loaded

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None where there is none of this name."""
        del ctx
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            self.commands[cmd_name] = load(cmd_name, self.context_settings)
        return self.commands.get(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, purpose, options, and the commands under the headings of their panels."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        with formatter.section("Options"):
            formatter.write_dl([record for param in self.get_params(ctx) if (record := param.get_help_record(ctx))])
        for panel in dict.fromkeys(command.panel for command in COMMANDS.values()):
            with formatter.section(panel):
                formatter.write_dl([(name, command.help) for name, command in COMMANDS.items() if command.panel == panel])


def load(name: str, context_settings: Any) -> Any:
    """Import a command and return it as its group wants it."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, context_settings=context_settings)
    alone.command(name)(getattr(import_module(f"cli.{name}"), name))
    return typer.main.get_command(alone)
