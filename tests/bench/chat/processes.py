"""The processes of a run: started, pinned, asked for their CPU time, ended."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cozy_server.serving import listen

PATIENCE_S = 60.0


def free_port() -> int:
    with listen("127.0.0.1", 0) as found:
        port: int = found.getsockname()[1]
        return port


def cores() -> tuple[int, int] | None:
    """One for the servers that are measured, one for the provider and the load; None when there are no two to choose."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    mine = sorted(os.sched_getaffinity(0))
    return (mine[1], mine[0]) if len(mine) > 1 else None


@contextmanager
def started(
    *command: str, port: int, core: int | None, folder: Path, **variables: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """``python -m command...`` from when it answers at ``port``; its output goes to a file in ``folder``."""
    root = Path(__file__).parents[3]
    path = os.pathsep.join(filter(None, (str(root / "src"), str(root), os.environ.get("PYTHONPATH"))))
    environment = {**_plain_environment(), "PYTHONPATH": path, **variables}
    with (folder / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        _wait_until_it_answers(process, port, folder)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_ms(process: int) -> float | None:
    """CPU time of all threads so far; None where the system does not tell it to the microsecond."""
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        return (
            sum(int((it / "schedstat").read_text().split()[0]) for it in threads) / 1e6 if threads else None
        )
    except (OSError, ValueError):
        return None


def _plain_environment() -> dict[str, str]:
    """Nothing that would find a provider or other settings."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5)
            return
        except urllib.error.HTTPError:
            return  # it asks for a key
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"no server came up:\n{(folder / f'{port}.log').read_text()}")
