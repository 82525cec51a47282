"""kill -9 of the node's roles at random moments while municipalities send, and what is left is what an
undisturbed run leaves. ops/chaos runs it; test_crash.py is its short form.

On Kafka the sequencer and the projector are two processes of one home and die one at a time; on the
local log they are one process. Gateways die too, in the middle of a send. Whoever dies is started
again; a gateway sends the same file until it is admitted. A pass is one ledger from its founding to
the last file; passes follow one another until enough kills have been made. After each pass:

  the digest and counts of the record file, and the ledger's size, are those of the undisturbed run;
  positions of the files' answers overlap nowhere, and sending every file again gives the same answers;
  `daicho rebuild`, which verifies every issuer's sequence and every position, gives the same digest.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import traceback

from daicho_node import DAICHO, EVERY_ROLE, Broker, Done, Failed, Node, Notices, temporary_directory

RESIDENTS = 2_000
YEARS = 1
SENDERS = 4
GATEWAY_DEATHS = 0.1  # of the sends
SEND_SECONDS_MAX = 300
ROLES = {"local": [EVERY_ROLE], "kafka": ["sequencer", "projector,records"]}
# What --role names, among the processes of a log.
VICTIMS = {"sequencer": "sequencer", "projector": "projector", "both": ""}


class Reference:
    """What the files amount to without a disturbance."""

    def __init__(self, directory, notices):
        with Node.found(directory, None, notices.issuers) as node:
            node.send_all(notices)
            self.content, self.size = node.content(), node.status()["size"]


class UnderFire:
    """One ledger whose processes die while a load runs; whoever inherits says which load."""

    def __init__(self, directory, log, roles, issuers, random_source):
        self.random = random_source
        self.node = Node.found(directory, log, issuers)
        if [EVERY_ROLE] != roles:
            self.node.stop(EVERY_ROLE)
            for each in roles:
                self.node.start(each)
        self.lock = threading.Lock()
        self.failure = None
        self.done = threading.Event()
        self.restart_seconds = []
        self.deaths = collections.Counter()

    def load(self):
        """Sets `done` when it ends, and `failure` when it fails."""
        raise NotImplementedError

    def disturb(self, roles, kills):
        """Kills one of `roles` at a time, `kills` times or until the load is over. Returns how often."""
        made = 0
        while made < kills and not self.done.is_set():
            victim = self.random.choice(roles)
            self.await_moment(victim)
            if self.done.is_set():
                break
            process = self.node.processes[victim]
            if process.poll() is not None:
                raise Failed(f"serve --roles {victim} ended by itself with {process.returncode}:\n"
                             f"{self.node.words(victim)}")
            self.node.kill(victim)
            made += 1
            self.deaths[victim] += 1
            time.sleep(self.random.choice([0, 0, 0.05, 0.3]))
            with contextlib.suppress(FileNotFoundError):
                self.node.words_of(victim).unlink()
            self.node.launch(victim)
            # Every fourth does not live to see the end of its start.
            if self.random.random() < 0.75:
                started = time.monotonic()
                self.node.await_ready(victim)
                self.restart_seconds.append(time.monotonic() - started)
            else:
                time.sleep(self.random.uniform(0, 0.4))
        return made

    def await_moment(self, victim):
        """A moment to kill: at once, after a while, or just when the ledger has grown."""
        kind = self.random.random()
        if kind < 0.2:
            time.sleep(self.random.uniform(0, 0.05))
        elif kind < 0.6:
            time.sleep(self.random.uniform(0.05, 1.5))
        else:
            deadline = time.monotonic() + 2
            with contextlib.suppress(OSError, Failed):
                with self.node.connect() as connection:
                    before = connection.status()["size"]
                    while time.monotonic() < deadline and not self.done.is_set():
                        if connection.status()["size"] > before:
                            break
            time.sleep(self.random.uniform(0, 0.01))

    def run(self, roles, kills):
        loading = threading.Thread(target=self.load)
        loading.start()
        try:
            made = self.disturb(roles, kills)
            loading.join()
        except BaseException as failure:
            self.failure = self.failure or failure
            loading.join()
            raise
        if self.failure:
            raise self.failure
        return made


class Pass(UnderFire):
    """Municipalities send their files."""

    def __init__(self, directory, log, roles, notices, random_source):
        super().__init__(directory, log, roles, notices.issuers, random_source)
        self.notices = notices
        self.answers = {}
        self.resends = 0

    # -- load ---------------------------------------------------------------------------------

    def load(self):
        """Sends every round with SENDERS senders; a round begins when the one before is admitted."""
        try:
            for files in self.notices.rounds:
                waiting = collections.deque(sorted(files.items()))
                senders = [threading.Thread(target=self.send_from, args=(waiting, random.Random(self.random.random())))
                           for _ in range(min(SENDERS, len(files)))]
                for sender in senders:
                    sender.start()
                for sender in senders:
                    sender.join()
                if self.failure:
                    return
        finally:
            self.done.set()

    def send_from(self, waiting, source):
        try:
            while not self.failure:
                with self.lock:
                    if not waiting:
                        return
                    issuer, files = waiting.popleft()
                self.send(issuer, files, source)
        except Exception as failure:  # the main thread reports it
            self.failure = self.failure or failure

    def send(self, issuer, files, source):
        """Until they are admitted."""
        deadline = time.monotonic() + SEND_SECONDS_MAX
        while True:
            done = self.send_once(issuer, files, source)
            if done.status == 0 and len(done.lines()) == len(files):
                break
            if done.status not in (0, 3, -9) or time.monotonic() > deadline or self.failure:
                raise Failed(f"gateway {issuer}: exit status {done.status}\n{done.out}{done.err}")
            self.resends += 1
            time.sleep(0.05)
        for file, answer in zip(files, done.lines()):
            self.answers[file] = answer["positions"]

    def send_once(self, issuer, files, source):
        command = self.node.gateways[issuer].command(*files)
        process = subprocess.Popen([DAICHO, *map(str, command)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        killer = None
        if source.random() < GATEWAY_DEATHS:
            killer = threading.Timer(source.uniform(0, 0.15), process.kill)
            killer.start()
        out, err = process.communicate(timeout=SEND_SECONDS_MAX)
        if killer:
            killer.cancel()
            if process.returncode == -9:
                self.deaths["gateway"] += 1
        return Done(process.returncode, out, err)

    # -- what is left -------------------------------------------------------------------------

    def check(self, reference):
        node = self.node
        for roles in node.processes:
            node.await_ready(roles)
        content, size = node.content(), node.status()["size"]
        self.same("content", content, reference.content)
        self.same("size", size, reference.size)
        taken = sorted(self.answers.values())
        for (_, last), (first, _) in zip(taken, taken[1:]):
            if first <= last:
                raise Failed(f"position {first} was given twice")
        for issuer in self.notices.issuers:
            files = self.notices.files_of(issuer)
            for file, answer in zip(files, node.gateways[issuer].send(*files)):
                self.same(str(file), (answer["outcome"], answer["positions"]), ("already_admitted", self.answers[file]))
        self.same("size after sending everything again", node.status()["size"], reference.size)
        node.stop()
        rebuilt = node.rebuild()
        self.same("rebuilt", (rebuilt["entries"], rebuilt["digest"]), (reference.size, reference.content["digest"]))

    @staticmethod
    def same(what, found, expected):
        if found != expected:
            raise Failed(f"{what}: {found}, but undisturbed {expected}")


def passes(log, kills, roles, directory, begin, check):
    """Ledger after ledger until enough kills are made. `begin(directory, address)` makes a pass, `check` judges it.
    The passes, and their kills in words."""
    made, done, deaths = 0, [], collections.Counter()
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Broker(directory / "kafka")) if log == "kafka" else None
        while made < kills:
            if done and broker:
                broker.reset()
            one = begin(directory / f"{log}-{len(done)}", broker and broker.log)
            try:
                made += one.run(roles, kills - made)
                check(one)
            finally:
                one.node.kill()
            done.append(one)
            deaths += one.deaths
            print(f"  {log}: {made} of {kills} kills, {len(done)} ledgers", file=sys.stderr, flush=True)
    return done, f"{made} kills ({', '.join(f'{n} {w}' for w, n in sorted(deaths.items()))})"


def chaos(log, kills, role, seed, directory):
    """One log. Prints a line; raises Failed."""
    source = random.Random(f"{seed}/{log}/{role}")
    notices = Notices(directory / "notices", RESIDENTS, YEARS)
    reference = Reference(directory / "reference", notices)
    roles = [each for each in ROLES[log] if VICTIMS[role] in each]
    started = time.monotonic()
    done, deaths = passes(log, kills, roles, directory,
                          lambda place, address: Pass(place, address, ROLES[log], notices, source),
                          lambda one: one.check(reference))
    restarts = sorted(seconds for one in done for seconds in one.restart_seconds)
    middle = f", restart {restarts[len(restarts) // 2]:.2f} s median, {restarts[-1]:.2f} s max" if restarts else ""
    print(f"{log}: seed {seed}: {deaths}, {sum(one.resends for one in done)} sends repeated, {len(done)} ledgers of "
          f"{reference.size} entries each, all as undisturbed{middle}, {time.monotonic() - started:.0f} s", flush=True)


def chaos_of_comparisons(log, kills, seed, directory):
    """The test of test_reconcile.py, with so many kills of the node and of the stand-in for 機構 in turn."""
    settings = {"DAICHO_KILLS": str(kills), "DAICHO_SEED": str(seed), "DAICHO_KEEP": "1", "TMPDIR": str(directory)}
    of = {"local": "OfKikou", "kafka": "OfKikouOnKafka"}[log]
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "unittest",
                           f"test_reconcile.{of}.test_the_same_is_found_through_kills_of_either_side"],
                          cwd=pathlib.Path(__file__).parent, env=os.environ | settings, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr)
    print(f"{log}: seed {seed}: {kills} kills of node and stand-in, each difference found, recorded once and closed, "
          f"{time.monotonic() - begun:.0f} s", flush=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="ops/chaos")
    parser.add_argument("--log", choices=["local", "kafka", "both"], default="both")
    parser.add_argument("--kills", type=int, default=200, help="per log")
    parser.add_argument("--role", choices=list(VICTIMS), default="both")
    parser.add_argument("--load", choices=["notices", "provision", "reconcile"], default="notices",
                        help="what goes on meanwhile: municipalities send, agencies ask, or copies are compared")
    parser.add_argument("--seed", default=os.environ.get("DAICHO_SEED") or str(random.randrange(10**9)))
    options = parser.parse_args(arguments)
    failed = False
    for log in ["local", "kafka"] if options.log == "both" else [options.log]:
        with contextlib.ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            try:
                if options.load == "provision":
                    from provide_chaos import chaos_of_provision  # which builds on this module

                    chaos_of_provision(log, options.kills, options.seed, directory)
                elif options.load == "reconcile":
                    chaos_of_comparisons(log, options.kills, options.seed, directory)
                else:
                    chaos(log, options.kills, options.role, options.seed, directory)
            except Exception as failure:
                failed = True
                if not isinstance(failure, Failed):
                    traceback.print_exc()
                print(f"{log}: seed {options.seed}: FAILED: {failure}", flush=True)
                kept = pathlib.Path(str(directory) + "-failed")
                directory.rename(kept)
                print(f"{log}: kept {kept}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
