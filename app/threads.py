"""How OpenMP's threads wait for work: asleep, so that several processes can share a machine.

By default they wait in a loop that takes their core from whoever could use it. Two trainings at once on two cores, each
with two threads, so spin for each other most of the time; `python -m benchmarks.threads` measures it.
"""

import os

#: What a user may have said about it: OpenMP's own word, GNU's and Intel's.
SAID_BY_USERS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_passively() -> None:
    """Let OpenMP's threads sleep while they wait, unless the user has said how.

    To be called before torch is imported: its OpenMP reads the environment once.
    """
    if not any(name in os.environ for name in SAID_BY_USERS):
        os.environ["OMP_WAIT_POLICY"] = "passive"
