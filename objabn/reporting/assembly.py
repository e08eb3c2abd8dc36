"""One HTML file from values: scripts and styles inside, nothing from outside, nothing of the data taken for markup."""

import base64
import hashlib
import json
import re
from importlib import resources
from typing import Any

from objabn.reporting.predictions import finite

SCRIPTS = ("elements", "numbers", "results", "heat", "player", "gallery", "classes", "histograms", "charts", "tables", "start")
"""In the order in which they stand in the page; each may use those before it."""


def report_page(data: dict[str, Any]) -> str:
    """Return the page that shows `report_data`.

    Data stands in one block that no browser takes for markup, and gets into the page as text only. A policy forbids every
    address, and every script and style but the two that are meant.
    """
    script = "\n".join(['(() => {\n"use strict";', *(page_file(f"{name}.js") for name in SCRIPTS), "})();"])
    style = page_file("style.css")
    allowed = {"default-src": "'none'", "img-src": "data:", "style-src": digest(style), "script-src": digest(script)}
    policy = "; ".join(f"{kind} {place}" for kind, place in (allowed | {"base-uri": "'none'", "form-action": "'none'"}).items())
    parts = {"policy": policy, "style": style, "script": script, "data": embedded(data)}
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page_file("page.html"))


def page_file(name: str) -> str:
    """Return a file of the page as it is in the package."""
    return (resources.files("objabn.reporting") / "page" / name).read_text(encoding="utf-8")


def digest(content: str) -> str:
    """Return the hash by which a policy knows a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def embedded(data: dict[str, Any]) -> str:
    """Return JSON that can stand in a script element: plain ASCII without a single `<`, numbers that are none as null."""
    return json.dumps(finite(data), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
