#!/usr/bin/env python3
"""bench/latency.py [--notices N] [--log kafka|local] [--way watch|send|both] [--pause SECONDS]

How long a single notice takes until it can be read: from the moment its file is renamed into the spool of
a running `gateway watch`, or `gateway send` is started, until the record file has applied it. Notices come
alone, at random intervals of PAUSE seconds on average. The node's socket is asked to answer when the record file is
there: a question that costs nothing meanwhile. 300 go before that are not measured: a broker that has just started still compiles
what it runs, and one in service has done so. Starts a broker and a node of its own. DAICHO_BIN may name the binary.
"""

import argparse
import contextlib
import json
import math
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e"))
from daicho_node import Broker, Node, notice, notice_file, stop_process, temporary_directory, wait_until

ISSUER = "102016"
WARM_UP = 300


def percentile(sorted_values, share):
    return sorted_values[max(0, math.ceil(share * len(sorted_values)) - 1)]


class Latency:
    def __init__(self, directory, node, pause):
        self.directory, self.node, self.pause = directory, node, pause
        self.gateway = node.gateways[ISSUER]
        self.socket = node.connect()
        self.sent = 0
        self.random = random.Random(1)

    def next_file(self):
        self.sent += 1
        path = self.directory / f"{self.sent:06d}.part"
        path.write_bytes(notice_file(ISSUER, self.sent, [notice(self.sent, ISSUER)]))
        return path

    def until_visible(self, begin):
        """Milliseconds from `begin()` until the record file has applied one entry more."""
        wanted = self.socket.visible() + 1
        started = time.monotonic()
        begin()
        if self.socket.visible(wanted) < wanted:
            raise SystemExit("bench/latency.py: a notice did not become visible")
        return (time.monotonic() - started) * 1000

    def measure(self, notices, begin_with):
        out = []
        for number in range(WARM_UP + notices):
            begin = begin_with(self.next_file())
            if number >= WARM_UP:
                time.sleep(self.random.expovariate(1 / self.pause))
            milliseconds = self.until_visible(begin)
            if number >= WARM_UP:
                out.append(milliseconds)
        return sorted(out)

    def watch(self, notices):
        spool = self.directory / "spool"
        watcher = self.gateway.watch(spool, self.directory / "watch.log")
        try:
            wait_until("the spool's folders", (spool / "rejected").is_dir)
            return self.measure(notices, lambda path: lambda: path.rename(spool / f"{path.stem}.ndjson"))
        finally:
            stop_process(watcher)

    def send(self, notices):
        sending = []

        def begin_with(path):
            # The one before ends a moment after its notice has become visible.
            while sending:
                assert sending.pop().wait() == 0
            return lambda: sending.append(self.gateway.start_send(path))

        values = self.measure(notices, begin_with)
        while sending:
            assert sending.pop().wait() == 0
        return values


def main():
    parser = argparse.ArgumentParser(prog="bench/latency.py", description=__doc__.split("\n\n")[1],
                                     usage=__doc__.splitlines()[0])
    parser.add_argument("--notices", type=int, default=500)
    parser.add_argument("--log", choices=["kafka", "local"], default="kafka")
    parser.add_argument("--way", choices=["watch", "send", "both"], default="both")
    parser.add_argument("--pause", type=float, default=0.25)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        broker = stack.enter_context(Broker(directory / "kafka")) if options.log == "kafka" else None
        node = stack.enter_context(Node.found(directory / "ledger", broker and broker.log, [ISSUER]))
        latency = Latency(directory, node, options.pause)
        for way in ["watch", "send"] if options.way == "both" else [options.way]:
            values = getattr(latency, way)(options.notices)
            result = {"log": options.log, "way": way, "notices": len(values),
                      "p50_ms": round(percentile(values, 0.5), 1), "p99_ms": round(percentile(values, 0.99), 1),
                      "max_ms": round(values[-1], 1)}
            if options.json:
                print(json.dumps(result), flush=True)
            else:
                print("{log:5}  gateway {way:5}  {notices} notices  p50 {p50_ms} ms  p99 {p99_ms} ms  max {max_ms} ms"
                      .format(**result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
