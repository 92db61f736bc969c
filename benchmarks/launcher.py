"""Runs a command and prints what it took as JSON: `python benchmarks/launcher.py COMMAND ARGUMENTS`.

A process of its own that imports next to nothing: the kernel begins a process's peak memory with that of the process
that has started it, so that a large one would be measured instead.
"""

import os
import sys
import time


def main(command: list[str]) -> None:
    """Run the command; its output goes to standard error."""
    started = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    print(f'{{"code": {code}, "wall": {wall}, "cpu": {cpu}, "peak": {usage.ru_maxrss / 1024}}}')


if __name__ == "__main__":
    main(sys.argv[1:])
