#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the applications of pins.sh met while it ran, side by side.

    pins.py watch DIR NAME=DATABASE[,MOUNTPOINT]...
    pins.py read DIRECTORY BYTES_A_SECOND
    pins.py commits|pins|stalls DIR NAME...

watch, until it is told to end, notes in DIR
    NAME.wal     each 100 ms: wall clock, bytes of the log
    NAME.status  each second: wall clock, the session of status.json
    noise        wall clock, what, ms: a thread that asked for 10 ms of sleep,
                 and a page that was made durable, when they took 50 ms more
                 than they should. That is the machine, not the application.
read is the backup: one pass over all files, not faster than that.
The last three print the cells of the tables, from these notes and from
    NAME.app     what the application said (patient.c)
    NAME.cpu     CPU seconds of the daemon
    begin        wall clock at which the sessions were asked for
"""
import json
import os
import signal
import sys
import threading
import time

MIB = 1 << 20
SLOW_MS = 50
STALL_MS = 100
TOLD_MAX = 12
# Two things happened at once when no more than this lies between them.
BESIDE_S = 0.5

# ---- noting ------------------------------------------------------------------

over = threading.Event()


def note_logs(directory, databases):
    notes = {name: open(f"{directory}/{name}.wal", "w") for name in databases}
    while not over.wait(0.1):
        for name, db in databases.items():
            try:
                size = os.stat(db + "-wal").st_size
            except FileNotFoundError:
                size = 0
            print(f"{time.time():.3f} {size}", file=notes[name], flush=True)


def note_status(directory, name, mountpoint):
    with open(f"{directory}/{name}.status", "w") as notes:
        while not over.wait(1):
            try:
                with open(mountpoint + "/status.json") as f:
                    session = json.load(f)["session"]
            except OSError:
                continue
            if session:
                session["t"] = time.time()
                print(json.dumps(session), file=notes, flush=True)


def note_noise(directory, what, pause, act):
    with open(directory + "/noise", "a") as notes:
        while not over.is_set():
            begin = time.monotonic()
            act()
            late = (time.monotonic() - begin) * 1000
            if late > SLOW_MS:
                at = time.time() - late / 1000
                print(f"{at:.3f} {what} {late:.1f}", file=notes, flush=True)
            time.sleep(pause)


def watch(directory, *names):
    databases, mounts = {}, {}
    for arg in names:
        name, place = arg.split("=", 1)
        databases[name], _, mountpoint = place.partition(",")
        if mountpoint:
            mounts[name] = mountpoint
    probe = os.open(directory + "/probe", os.O_CREAT | os.O_WRONLY, 0o600)

    def write_page():
        os.pwrite(probe, os.urandom(4096), 0)
        os.fdatasync(probe)

    threads = [(note_logs, directory, databases),
               (note_noise, directory, "cpu", 0, lambda: time.sleep(0.01)),
               (note_noise, directory, "disk", 0.1, write_page)]
    threads += [(note_status, directory, *m) for m in mounts.items()]
    for what, *args in threads:
        threading.Thread(target=what, args=args, daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    over.set()


def read(directory, rate):
    begin = time.monotonic()
    done = 0
    for where, _, files in os.walk(directory):
        for file in files:
            with open(os.path.join(where, file), "rb", 0) as f:
                while data := f.read(128 * 1024):
                    done += len(data)
                    ahead = begin + done / float(rate) - time.monotonic()
                    time.sleep(max(0, ahead))
    print(f"read bytes={done} s={time.monotonic() - begin:.1f}")


# ---- telling -------------------------------------------------------------------


def lines(path):
    try:
        with open(path) as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


def pairs(words):
    return dict(word.split("=", 1) for word in words if "=" in word)


class Stall:
    """Something that took long: when, how long, and what it was."""

    def __init__(self, at, ms, what):
        self.at, self.ms, self.what = float(at), float(ms), what

    def beside(self, other):
        return (self.at < other.at + other.ms / 1000 + BESIDE_S and
                other.at < self.at + self.ms / 1000 + BESIDE_S)


class Mode:
    """What one application met, and what its mount said."""

    def __init__(self, directory, name):
        base = f"{directory}/{name}"
        self.name = name
        self.commits, self.checkpoints, self.slow = {}, [], []
        for line in lines(base + ".app"):
            what, *words = line.split()
            v = pairs(words)
            if what == "commits":
                self.commits = v
            elif what == "checkpoint":
                self.checkpoints.append(v)
            if what in ("slow", "checkpoint") and float(v["ms"]) > SLOW_MS:
                self.slow.append(Stall(v["at"], v["ms"], "commit"
                                       if what == "slow" else what))
        self.wal = [(float(t), int(n)) for t, n in
                    (line.split() for line in lines(base + ".wal"))]
        self.status = [json.loads(line) for line in lines(base + ".status")]
        # Bytes, seconds: when the image was copied, if it was.
        self.complete = next((pairs(line.split()) for line in
                              lines(base + ".events")
                              if " snapshot-complete " in line), None)
        self.cpu = (lines(base + ".cpu") or ["-"])[0]

    def wal_most(self, begin, end):
        return max((n for t, n in self.wal if begin <= t <= end), default=0)

    def wal_last(self, end):
        return next((n for t, n in reversed(self.wal) if t <= end), 0)

    def last(self, key):
        return self.status[-1].get(key, 0) if self.status else 0

    def most(self, key):
        return max((s.get(key, 0) for s in self.status), default=0)


def machine(directory):
    return [Stall(at, ms, what) for at, what, ms in
            (line.split() for line in lines(directory + "/noise"))]


def stalls_of(mode, control):
    """Those of `mode`, and those beside which the application that has no
    session had nothing half as long."""
    all_of = [s for s in mode.slow if s.what == "commit" and s.ms > STALL_MS]
    alone = [s for s in all_of
             if not any(s.beside(o) and o.ms > s.ms / 2 for o in control)]
    return all_of, alone


def calm_seconds(control, begin, end):
    """Those of the session in which neither the application that has no
    session nor the machine took more than 50 ms for anything, and around which
    they did not."""
    rough = {second for s in control
             for second in range(int(s.at - begin - 1),
                                 int(s.at - begin + s.ms / 1000 + 1.5))}
    return set(range(int(end - begin))) - rough


def cells(*values):
    print("|".join(str(v) for v in values))


def mib(n):
    return f"{n / MIB:.1f}"


def span(directory):
    return (float(lines(directory + "/begin")[0]),
            float(lines(directory + "/end")[0]))


def commits(directory, *names):
    begin, end = span(directory)
    modes = [Mode(directory, name) for name in names]
    control = next((m.slow for m in modes if m.name == "none"), [])
    calm = calm_seconds(control + machine(directory), begin, end)
    for m in modes:
        v = m.commits
        stalls, alone = stalls_of(m, control)
        in_calm = [s.ms for s in m.slow if s.what == "commit" and
                   int(s.at - begin) in calm]
        tried = [float(c["ms"]) for c in m.checkpoints]
        cells(m.name, v["rate"], v["failed"], v["p50"], v["p99"], v["p999"],
              v["max"], len(stalls), len(alone) if m.name != "none" else "-",
              f"{max(in_calm):.0f}" if in_calm else
              f"< {SLOW_MS}" if calm else "-", len(calm), len(tried) or "-",
              sum(c["rc"] != "ok" for c in m.checkpoints) if tried else "-",
              f"{sorted(tried)[len(tried) // 2]:.0f}" if tried else "-",
              f"{max(tried):.0f}" if tried else "-")


def pins(directory, *names):
    begin, end = span(directory)
    for m in (Mode(directory, name) for name in names):
        oldest = m.most("pin_age_ns") / 1e9
        took, copied, until = "-", "-", "-"
        if m.complete:
            took = m.complete["seconds"]
            copied = mib(int(m.complete["bytes"]))
            until = mib(m.wal_most(begin, begin + float(took)))
        cells(m.name, mib(m.wal_most(begin, end)),
              mib(m.wal_last(end)), took, copied, until,
              mib(m.most("spool_bytes")), f"{oldest:.1f}" if m.status else "-",
              m.last("pin_moves"), m.last("let_by"), m.cpu)


def stalls(directory, *names):
    """Those that are alone, and what of 50 ms and more was beside them."""
    begin, _ = span(directory)
    modes = [Mode(directory, name) for name in names]
    control = next((m.slow for m in modes if m.name == "none"), [])
    noise = machine(directory)
    for m in modes:
        alone = stalls_of(m, control)[1] if m.name != "none" else []
        for s in alone[:TOLD_MAX]:
            # Of each of the others, and of the machine, the longest.
            beside = {}
            for who, x in ([(o.name, x) for o in modes
                            for x in o.slow if x is not s] +
                           [("the machine", x) for x in noise]):
                key = f"{who}: {x.what}"
                if s.beside(x):
                    beside[key] = max(x.ms, beside.get(key, 0))
            cells(m.name, f"{s.at - begin:.1f}", f"{s.ms:.0f}",
                  ", ".join(f"{what} {ms:.0f}" for what, ms
                            in beside.items()) or "nothing")
        if len(alone) > TOLD_MAX:
            cells(m.name, "...", f"{len(alone) - TOLD_MAX} more", "")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    {"watch": watch, "read": read, "commits": commits, "pins": pins,
     "stalls": stalls}[sys.argv[1]](*sys.argv[2:])
