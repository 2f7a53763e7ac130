"""The wrapper, the outer process of one attempt: `python -I -S wrapper.py ATTEMPT_DIR`, started by launcher.py in its own session.

It holds a lock as long as it lives: that is what "alive" means. It publishes started.json by link(2), so an attempt starts
at most once. Only then does it import the rest: every millisecond before that is latency between two phases.
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
    """Run the attempt to its end. Returns only when another process runs this attempt or has run it."""
    lock = os.open(os.path.join(attempt_dir, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for left in reversed(range(LOCK_TRIES)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if not left:
                return LOCK_TAKEN
            time.sleep(0.005)  # the ticker takes the lock for some microseconds to see whether it is held
    began = time.monotonic()
    if "subagents" not in sys.modules:
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from subagents.files import publish_once

    with open("/proc/self/stat", "rb") as file:
        text = file.read()
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        boot_id = file.read().strip().decode()
    process_start = text[text.rindex(b")") + 2 :].split()[19].decode()
    # These values need no escaping, so the json module, which takes 8 ms to import, can wait.
    started = f'{{"pid": {os.getpid()}, "process_start": "{process_start}", "boot_id": "{boot_id}", "started_at": {time.time():.6f}}}'
    if not publish_once(os.path.join(attempt_dir, "started.json"), started.encode()):
        return STARTED_BEFORE
    gc.disable()  # imports make no garbage, only work for the collector
    from subagents.supervisor import supervise

    gc.enable()
    supervise(attempt_dir, lock, began)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
