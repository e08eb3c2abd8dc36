"""The whole table of the data path in one command: some videos in every store, all loaders beside each other, and short trainings.

python -m benchmarks.data_path VIDEOS --segmenter FILE --out FOLDER, where VIDEOS is a folder of class folders. What is packed
already stays. It says which step runs, writes loader.json and step.json to FOLDER, and ends with the share of each
training that its loader was waited for.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

STORES: dict[str, tuple[str, ...]] = {
    "frames": ("--store", "frames"),
    "vp9": ("--store", "video", "--codec", "vp9"),
    "h264": ("--store", "video", "--codec", "h264"),
}


def main(words: Sequence[str] | None = None) -> None:
    """Run all steps; a store that this machine cannot train from is named and left out of the trainings."""
    options = parse(words)
    packs = {name: options.out / name for name in STORES}
    for name, pack in packs.items():
        objabn("prepare", options.videos, *STORES[name], "--out", pack)
        masks = ("--from", options.masks) if options.masks else ("--segmenter", options.segmenter)
        objabn("masks", pack, *masks)
    datasets = [word for pack in packs.values() for word in ("--dataset", pack)]
    objabn("bench", "loader", *datasets, "--videos", options.videos, "--json", options.out / "loader.json")
    objabn("bench", "step", "--json", options.out / "step.json")
    waits = {name: train(pack, options) for name, pack in packs.items()}
    for name, shares in waits.items():
        told = ", ".join(f"{share:.2f}" for share in shares) or "not trained"
        print(f"{name}: the loader was waited for, % of each epoch: {told}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_path", description=__doc__)
    parser.add_argument("videos", type=Path)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--segmenter")
    source.add_argument("--masks", type=Path, help="own masks, as of `objabn masks --from`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", default="none")
    parser.add_argument("--epochs", default="3")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of the trainings")
    return parser.parse_args(words)


def objabn(*words: object, is_required: bool = True) -> bool:
    """Run a command of objabn, telling it first; return whether it worked."""
    texts = [str(word) for word in words]
    print("$ objabn", *texts, flush=True)
    program = "import sys; from cli.main import run; sys.argv[0] = 'objabn'; run()"
    return subprocess.run([sys.executable, "-c", program, *texts], check=is_required).returncode == 0


def train(pack: Path, options: argparse.Namespace) -> list[float]:
    """Train with three heads from one store; return the share of each epoch, in percent, that the loader was waited for."""
    run_folder = options.out / f"run-{pack.name}"
    settings = [word for setting in options.settings for word in ("--set", setting)]
    words = ("--heads", 3, "--weights", options.weights, "--epochs", options.epochs, "--out", run_folder, "--resume")
    if not objabn("train", pack, *words, *settings, is_required=False):
        return []
    records = map(json.loads, (run_folder / "log.jsonl").read_text().splitlines())
    return [record["loader_wait"] for record in records if record["event"] == "epoch" and "loader_wait" in record]


if __name__ == "__main__":
    main()
