#!/usr/bin/env python
"""What a sandbox adds to the start of a command: python bench/sandbox.py [ROUNDS]. Prints medians in ms for each level that holds."""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from subagents import sandbox
from subagents.processes import stream


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for level in sandbox.LEVELS:
            began = time.perf_counter()
            reason = sandbox._probe_apart(level, folder)
            tried = (time.perf_counter() - began) * 1000
            if reason:
                print(f"{level:9} does not hold: {reason}")
                continue
            values = [start(level, folder) for _ in range(rounds)]
            figures = f"median {statistics.median(values):6.1f} ms (min {min(values):.1f}, max {max(values):.1f})"
            print(f"{level:9} start of `bash -c true`: {figures}; trying it {tried:.0f} ms")


def start(level: str, folder: str) -> float:
    inside = tempfile.mkdtemp(dir=folder)
    began = time.perf_counter()
    argv, prepare = sandbox.confine(level, sandbox.SandboxPolicy(sandbox.tools(), (inside,)), ["/bin/bash", "-c", "true"], inside)
    exit_code, _ = stream(argv, {"PATH": os.defpath}, inside, lambda data: None, prepare=prepare)
    assert exit_code == 0, f"{level}: exit code {exit_code}"
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
