"""SIGTERM and Ctrl-C while a C library runs Python code: a process ends all the same, in order, and no pair pays for it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from installation import QUIET, command
from web import serving

from insar_anomaly.cli.exits import Exit

MANY_SIGNALS = """
import os, signal, sys, threading, time
from pathlib import Path
from insar_anomaly.cli.interrupts import stoppable
from insar_anomaly.sources import remote

class File:  # Python code under every call of GDAL, as under a file system's cache
    def __init__(self, path):
        self.held, self.size = Path(path).open("rb"), Path(path).stat().st_size
    def seek(self, *where):
        return self.held.seek(*where)
    def read(self, size=-1):
        time.sleep(0.001)
        return self.held.read(size)
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.held.close()

class System:
    def open(self, path, *_, **__):
        return File(path)

def send(turn):
    time.sleep(0.0002 * turn)
    os.kill(os.getpid(), signal.SIGTERM)

lost = 0
for turn in range(150):
    for number, usual in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        signal.signal(number, usual)
    end = time.monotonic() + 10
    try:
        with stoppable():
            threading.Thread(target=send, args=(turn,)).start()
            while time.monotonic() < end:
                with remote.opened(System(), sys.argv[1]) as tif:
                    tif.read(1)
        lost += 1
    except KeyboardInterrupt:
        continue
print(lost)
"""

SWALLOWED = """
import os, signal, sys, time
from insar_anomaly.cli import main
from insar_anomaly.cli.interrupts import stoppable, say_stopped

with stoppable():
    try:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except KeyboardInterrupt:
            pass  # as a C library does it
        try:
            time.sleep(10)
        finally:  # what puts things in order is not disturbed, however long it takes
            time.sleep(0.7)
            print("in order")
    except KeyboardInterrupt:
        say_stopped()
        sys.exit(130)
"""


def test_a_signal_is_never_lost_while_gdal_reads(built):
    line = [sys.executable, "-c", MANY_SIGNALS, str(built.phase(built.pairs()[0]))]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    # the library may print what it was told in a callback; the signal must come through all the same
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_an_interrupt_that_was_lost_is_raised_again_and_not_while_things_are_put_in_order():
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", SWALLOWED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (Exit.STOPPED, "in order\n")
    assert any(line.startswith("insar-anomaly: stopped; ") for line in done.stderr.splitlines())
    assert time.monotonic() - begun < 10


def test_an_ingest_that_is_stopped_while_gdal_reads_rejects_nothing(fresh):
    fresh.only(990001)
    with serving(fresh.archive) as web:
        fresh.change('url = "archive"', f'url = "{web.url}/"')
        fresh.change("batch = 16", "batch = 2\nthreads = 1")
        web.pause_s = 0.1
        line = command("-c", fresh.config, "ingest")
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as one:
            while sum(part != "" and path.endswith("unw.tif") for _, path, part in web.asked) < 8 and one.poll() is None:
                time.sleep(0.01)
            one.send_signal(signal.SIGTERM)
            out, err = one.communicate(timeout=60)
    assert (one.returncode, out) == (Exit.STOPPED, "")
    assert "insar-anomaly: stopped; what was committed is kept, and the same command goes on from there" in err.splitlines()
    assert set(fresh.verdicts(QUIET).values()) <= {0}
    assert len(fresh.verdicts(QUIET)) < 60
