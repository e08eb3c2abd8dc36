"""Checks in a process of their own: a library that crashes or hangs when it is imported then costs a line, not the diagnosis."""

import importlib
import json
import os
import signal
import subprocess
import sys
from typing import NamedTuple

from objabn.diagnosis.findings import Finding, problem


class Probe(NamedTuple):
    """A module with a function `findings(*arguments)`, and what to say where that fails as a whole."""

    module: str
    """Full name of the module."""
    subject: str
    """What it looks at."""
    remedy: str
    """What to do where it cannot even look."""
    stops_training: bool = False
    """Whether nothing can be trained then."""
    arguments: tuple[str, ...] = ()
    """What `findings` is called with."""


def run_apart(probe: Probe, *, seconds: float = 180.0) -> list[Finding]:
    """Return what the probe finds in a process of its own; its failure, of whatever kind, is a problem behind what was found before."""
    # -P: a file of the working folder that is named like a library must not be taken for it here.
    command = [sys.executable, "-P", "-m", __name__, probe.module, *probe.arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        output, errors = process.communicate(timeout=seconds)
        failure = "" if process.returncode == 0 else describe_end(process.returncode, errors)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        failure = f"no answer within {seconds:.0f} seconds"
    found = [Finding(*json.loads(line)) for line in output.splitlines()]
    return [*found, problem(probe.subject, failure, probe.remedy, stops_training=probe.stops_training)] if failure else found


def describe_end(code: int, errors: str) -> str:
    """Say how a process ended that did not end well: by which signal, and with which last line."""
    how = f"crashed with {signal.Signals(-code).name}" if code < 0 else ""
    return ": ".join(filter(None, [how, *errors.strip().splitlines()[-1:]])) or f"ended with exit code {code}"


def main() -> None:
    """Write each finding of the module that the arguments name as a line of JSON, as soon as it is there."""
    module, *arguments = sys.argv[1:]
    # Libraries may print; only findings belong into the output.
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)
        for finding in importlib.import_module(module).findings(*arguments):
            print(json.dumps(finding), file=output, flush=True)


if __name__ == "__main__":
    main()
