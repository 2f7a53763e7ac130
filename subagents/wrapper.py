"""The outer process of ONE attempt: `python -I -S wrapper.py ATTEMPT_DIR`, started by launcher.py in a session of its own.

It holds a lock for its whole life (that is what "alive" means), publishes started.json by link(2) so that an attempt
starts at most once, and only then imports anything: every millisecond before that is latency between two phases.
"""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import time

LOCK_TAKEN, STARTED_BEFORE = 3, 4  # exit codes
LOCK_TRIES = 40


def main(attempt_dir: str) -> int:
    """Run the attempt to its end. Returns only when there was nothing to run: somebody else has this attempt or had it."""
    lock = os.open(os.path.join(attempt_dir, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for left in reversed(range(LOCK_TRIES)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if not left:
                return LOCK_TAKEN
            time.sleep(0.005)  # the host, to see whether the lock is held, takes it for some microseconds
    began = time.monotonic()
    if "subagents" not in sys.modules:
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from subagents.files import publish_once

    with open("/proc/self/stat", "rb") as file:
        text = file.read()
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        boot_id = file.read().strip().decode()
    process_start = text[text.rindex(b")") + 2 :].split()[19].decode()
    # All of it is ours and plain, so the json module, which costs 8 ms, can wait.
    started = f'{{"pid": {os.getpid()}, "process_start": "{process_start}", "boot_id": "{boot_id}", "started_at": {time.time():.6f}}}'
    if not publish_once(os.path.join(attempt_dir, "started.json"), started.encode()):
        return STARTED_BEFORE
    gc.disable()  # importing makes no garbage, only work for the collector
    from subagents.supervisor import supervise

    gc.enable()
    supervise(attempt_dir, lock, began)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
