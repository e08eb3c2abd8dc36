"""Something-Something V2 from its official JSON files, in the names of both releases."""

from pathlib import Path

from objabn.data.sources.found import Sources
from objabn.data.sources.listing import PARTS, Entry, Listing, checked, read_json, read_lines, refuse_nowhere, sentences

VIDEO_FOLDER = "20bn-something-something-v2"


def ssv2(videos: str | Path, annotations: str | Path) -> Listing:
    """List Something-Something V2; parts without a file are left out, and so is the test part without `test-answers.csv`.

    The validation part, which publications report, is `test` in fold 1. Where the test part has labels, there is a fold 2 that
    keeps the official names.
    """
    root, folder = Path(videos), Path(annotations)
    root = root / VIDEO_FOLDER if (root / VIDEO_FOLDER).is_dir() else root
    classes = read_templates(folder)
    labels = {name: label for label, name in enumerate(classes)}
    parts, remark = read_parts(folder)
    folds = 2 if parts.get("test") else 1
    sources = Sources(root)
    entries = tuple(
        Entry(sources.find(video) or root / f"{video}.webm", video, template_label(labels, template, video), video, PARTS[part][:folds])
        for part, templates in parts.items()
        for video, template in sorted(templates.items(), key=lambda item: (len(item[0]), item[0]))
    )
    refuse_nowhere(entries, root, "give the folder that holds 1.webm and so on")
    return checked(Listing("ssv2", classes, entries, remark))


def read_parts(folder: Path) -> tuple[dict[str, dict[str, str]], str]:
    """Return the template of each video for each part that has labels, and what there is to say about the test part."""
    paths = {part: find_list(folder, f"{stem}.json") for part, stem in (("train", "train"), ("val", "validation"), ("test", "test"))}
    if not any(paths.values()):
        raise FileNotFoundError(f"{folder} has none of train.json, validation.json (or something-something-v2-train.json and so on).")
    parts = {part: read_part(path) for part, path in paths.items() if path and part != "test"}
    answers = find_list(folder, "test-answers.csv")
    if answers:
        rows = [line.strip().partition(";") for line in read_lines(answers) if line.strip()]
        parts["test"] = by_video([(video, template) for video, _, template in rows], answers)
        return parts, "Fold 1 reports on the official validation part, fold 2 on the official test part."
    without = len(read_json(paths["test"], list)) if paths["test"] else 0
    remark = (
        f"{without} videos of the official test part have no labels (there is no test-answers.csv) and were left out." if without else ""
    )
    return parts, sentences("The official validation part, which publications report, is the subset test.", remark)


def find_list(folder: Path, name: str) -> Path | None:
    """Return a file by its newer name, or by the older one."""
    places = (folder / name, folder / f"something-something-v2-{name}")
    return next((path for path in places if path.is_file()), None)


def read_templates(folder: Path) -> tuple[str, ...]:
    """Return the templates in the order of their numbers, which the file writes as text."""
    path = find_list(folder, "labels.json")
    if path is None:
        raise FileNotFoundError(f"{folder} has neither labels.json nor something-something-v2-labels.json; give the folder of the labels.")
    numbers = {name: int(number) for name, number in read_json(path, dict).items()}
    if sorted(numbers.values()) != list(range(len(numbers))):
        raise ValueError(f"{path} must number its {len(numbers)} templates from 0 without gaps.")
    return tuple(sorted(numbers, key=numbers.__getitem__))


def read_part(path: Path) -> dict[str, str]:
    """Return the template of each video of `train.json` or `validation.json`."""
    videos = read_json(path, list)
    if without := [video for video in videos if not isinstance(video, dict) or not {"id", "template"} <= video.keys()]:
        raise ValueError(f"{path}: {without[0]} has no id or no template; this is not the official list of a part with labels.")
    return by_video([(str(video["id"]), video["template"]) for video in videos], path)


def by_video(rows: list[tuple[str, str]], path: Path) -> dict[str, str]:
    """Return the template of each video; two of one video are a ValueError."""
    templates: dict[str, str] = {}
    for video, template in rows:
        if templates.setdefault(video, template) != template:
            raise ValueError(f"{path} lists the video {video} as {templates[video]!r} and as {template!r}; leave one of them.")
    return templates


def template_label(labels: dict[str, int], template: str, video: str) -> int:
    """Return the class number of a template such as `Putting [number of] [something] onto [something]`."""
    name = template.replace("[", "").replace("]", "")
    if name not in labels:
        raise ValueError(f"The template {template!r} of video {video} is not in labels.json; take both files from one release.")
    return labels[name]
