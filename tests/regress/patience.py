"""How long tests wait, and how a measured time is held against what is promised.

The machine may stand still for a second at any moment, and be slow for minutes. So what comes true by itself is waited
for patiently, which costs nothing where all is well; and a promise in time is printed as it was measured, and broken
only where a slow machine cannot be the reason.
"""
import os
import time

SLOW = 5 if os.environ.get("PK_SAN") or os.environ.get("PK_TSAN") else 1  # sanitizers take their time
PATIENCE_S = 30
STORE_TIMEOUT = {"PK_STORE_TIMEOUT": "30000"}  # of a pkd, where it is not what is tested


def until(good, seconds=PATIENCE_S, pause=0.01):
    """Whether it comes true in time; what counts is how often one has looked, so that a machine that stood still took none."""
    for _ in range(int(seconds * SLOW / pause)):
        if good():
            return True
        time.sleep(pause)
    return bool(good())


def some_time(good, times=5):
    """Whether it comes true once: of what a moment's standstill spoils, and what would never be true without what is promised."""
    return any(good() for _ in range(times))


def in_a_while(holds, leads_s=(2, 8, 32)):
    """Whether it holds of a time that is soon to come, as the APIs have it. Of a later one, where the machine stood still
    until that was past and what should come before it could not."""
    return any(holds(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + lead * SLOW))) for lead in leads_s)


def lateness(times=20):
    """Seconds by which a process that sleeps is woken too late here and now: what the machine adds to every answer."""
    late = []
    for _ in range(times):
        began = time.monotonic()
        time.sleep(0.002)
        late.append(time.monotonic() - began - 0.002)
    return sorted(late)[times * 3 // 4]


def soon(what, times, promised_s):
    """Whether what was measured some times, in seconds, holds what is promised: the better quarter, since a busy machine
    adds to some, and beyond what it adds to a sleep, which does nothing."""
    times, late = sorted(times), lateness()
    print(f"# {what}: median {times[len(times) // 2] * 1e3:.1f} ms, most {times[-1] * 1e3:.1f} ms; promised {promised_s * 1e3:g} ms, "
          f"and a sleep is {late * 1e3:.1f} ms late", flush=True)
    return times[len(times) // 4] <= promised_s * SLOW + 10 * late


class Promise:
    """What ends within `seconds` where nothing else goes on:  with Promise("a cancel", 0.02, 5): ...

    The time is printed. Only what lasts longer than `broken_s` is an error: without what is promised it would.
    """

    def __init__(self, what, seconds, broken_s):
        self.what, self.seconds, self.broken_s = what, seconds, broken_s * SLOW

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, kind, *unused):
        self.took = time.monotonic() - self.began
        if kind is None:
            print(f"# {self.what}: {self.took:.3f} s, promised {self.seconds:g}", flush=True)
            if self.took >= self.broken_s:
                raise AssertionError(f"{self.what} took {self.took:.3f} s, and no machine is that slow: {self.broken_s:g}")
