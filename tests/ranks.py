"""Programs run by several processes at once, as torchrun would start them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent
COMMAND = "import sys; sys.argv[0] = 'objabn'; from cli.main import run; run()"


def free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"} | more


def run_ranks(program: str, *words: str | Path, world: int = 2, code: int = 0) -> list[str]:
    """Run a program once for each rank and return what each printed."""
    group = {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *map(str, words)],
            env=environment(RANK=str(rank), LOCAL_RANK=str(rank), **group),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    ends = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [code] * world, "\n".join(said for _, said in ends)
    return [printed for printed, _ in ends]


def torchrun(*words: str | Path, restarts: int = 0, world: int = 2, **more: str) -> subprocess.Popen[str]:
    """Start a command of objabn under torchrun."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}", f"--max-restarts={restarts}"]
    return subprocess.Popen(
        [*launcher, "--monitor-interval=0.1", "--no-python", str(Path(sys.executable).with_name("objabn")), *map(str, words)],
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rank_process(launcher: subprocess.Popen[str], rank: int) -> int:
    """Return the process of a rank that torchrun has started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher.pid and f"RANK={rank}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError(f"torchrun has no process of rank {rank}")


def kill_when(launcher: subprocess.Popen[str], rank: int, path: Path, text: str) -> None:
    """Kill a rank without a word once a file holds a text."""
    wait_for(launcher, path, text)
    os.kill(rank_process(launcher, rank), signal.SIGKILL)


def wait_for(launcher: subprocess.Popen[str], path: Path, text: str) -> None:
    """Return once a file holds a text."""
    end = time.monotonic() + 120
    while not (path.exists() and text in path.read_text()):
        assert launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
