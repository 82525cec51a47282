"""What ops/run does once everything is built; its options are documented there.

The steps are the ones a prefecture and its municipalities take, with the daicho command alone:
init, a gateway per municipality and its public key, serve, notices round by round, status, a record.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DAICHO = os.environ["DAICHO_BIN"]
SEED = 10
GATEWAYS_AT_ONCE = 4
READY_SECONDS_MAX = 60
CATCH_UP_SECONDS_MAX = 600
STOP_SECONDS_MAX = 30


class Failed(Exception):
    pass


@contextlib.contextmanager
def stage(text):
    """Times a step: one line when it is done."""
    if sys.stderr.isatty():
        print(f"  … {text}", end="\r", file=sys.stderr, flush=True)
    started = time.monotonic()
    yield
    print(f"  {time.monotonic() - started:6.1f} s  {text}", file=sys.stderr)


def daicho(*arguments):
    """Runs one daicho command and returns its stdout."""
    done = subprocess.run([DAICHO, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        command = shlex.join(["daicho", *map(str, arguments[:2])])
        raise Failed(f"{command}: exit status {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


class Progress:
    """Notices admitted so far: a line that moves on a terminal, one every few seconds elsewhere."""

    def __init__(self, total):
        self.total, self.done = total, 0
        self.started = self.shown = time.monotonic()

    def add(self, count, label):
        self.done += count
        now = time.monotonic()
        tty = sys.stderr.isatty()
        if not tty and now - self.shown < 5:
            return
        self.shown = now
        rate = self.done / max(now - self.started, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        text = f"  {label}: {self.done:,} of {self.total:,} notices, {rate:,.0f}/s, {left:.0f} s left"
        print(f"{text:<79}", end="\r" if tty else "\n", file=sys.stderr, flush=True)


class Run:
    def __init__(self, options):
        self.options = options
        self.home = (options.home or usual_home(options.kafka)).resolve()
        self.node = self.home / "node"
        self.notices = self.home / "notices"
        self.loaded = self.home / "loaded.json"  # written last: the load is complete
        self.server = None
        self.broker = False

    # -- the parts ----------------------------------------------------------------------------

    def open_log(self):
        """Where the ledger is: a broker, which is started, or a directory."""
        if not self.options.kafka:
            return f"local:{self.home / 'log'}"
        with stage("Kafka broker"):
            started = subprocess.run(
                [ROOT / "ops/kafka", "start", "--dir", self.home / "kafka", "--port", "any"],
                stdout=subprocess.PIPE, text=True)
            if started.returncode != 0:
                raise Failed("the broker did not start")
            self.broker = True
        return f"kafka://{started.stdout.strip()}"

    def generate(self):
        with stage(f"generate notices of {self.options.residents:,} residents"):
            daicho("generate", "--residents", self.options.residents, "--seed", SEED, "--out", self.notices)

    def found(self, issuers):
        """The prefecture's node, the municipalities' gateways, and the keys that make them issuers."""
        with stage("a new ledger"):
            daicho("init", "--home", self.node, "--prefecture", "10", "--log", self.log)
        self.serve()
        with stage(f"{len(issuers)} gateways, each with its own key"):
            for issuer in issuers:
                public_key = self.gateway(issuer).with_suffix(".pub")
                public_key.parent.mkdir(exist_ok=True)
                public_key.write_text(daicho("gateway", "init", "--home", self.gateway(issuer), "--issuer", issuer,
                                             "--ledger", self.node / "ledger.pub.json"))
                daicho("issuer", "add", "--home", self.node, "--issuer", issuer, "--public-key", public_key)

    def gateway(self, issuer):
        return self.home / "gateways" / issuer

    def serve(self):
        """Starts the node. It is ready when its socket is there: until then, a command that asks for its
        state would open the stores itself and stand in its way."""
        with stage("start serve"):
            for old in self.sockets():
                old.unlink()
            log = open(self.home / "serve.log", "ab")
            # In a process group of its own: Ctrl-C reaches it through stop(), once.
            self.server = subprocess.Popen(
                [DAICHO, "serve", "--home", self.node, "--listen", "127.0.0.1:0"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
            deadline = time.monotonic() + READY_SECONDS_MAX
            while not self.sockets():
                if self.server.poll() is not None or time.monotonic() > deadline:
                    raise Failed("serve did not start:\n" + (self.home / "serve.log").read_text()[-4000:])
                time.sleep(0.05)

    def sockets(self):
        return [path for path in self.node.rglob("*") if path.is_socket()]

    def load(self, rounds):
        """Sends every round; a round begins when the one before is admitted. Returns the time it took."""
        progress = Progress(sum(r["notices"] for r in rounds))
        with concurrent.futures.ThreadPoolExecutor(GATEWAYS_AT_ONCE) as pool:
            for number, each in enumerate(rounds, 1):
                files = {}
                for file in sorted((self.notices / each["round"]).glob("*.ndjson")):
                    files.setdefault(file.name.split("-")[0], []).append(file)
                list(pool.map(self.send, files.keys(), files.values()))
                progress.add(each["notices"], f"round {number} of {len(rounds)}, until {each['until']}")
        return time.monotonic() - progress.started

    def send(self, issuer, files):
        out = daicho("gateway", "send", "--json", "--home", self.gateway(issuer), "--log", self.log, *files)
        answers = [json.loads(line) for line in out.splitlines() if line.strip()]
        refused = [a for a in answers if a["outcome"] not in ("admitted", "already_admitted")]
        if refused or len(answers) != len(files):
            raise Failed(f"issuer {issuer}: {json.dumps(refused or answers, ensure_ascii=False)[:4000]}")

    def status(self):
        return json.loads(daicho("status", "--home", self.node, "--json"))

    def catch_up(self):
        """Waits until the record file stands where the ledger does, and a checkpoint covers it."""
        deadline = time.monotonic() + CATCH_UP_SECONDS_MAX
        while True:
            status = self.status()
            covered = (status["checkpoint"] or {"size": 0})["size"]
            if min(status["record_file"]["position"], covered) >= status["size"]:
                return status
            if time.monotonic() > deadline:
                raise Failed(f"the record file or the checkpoint stays behind the ledger: {json.dumps(status)}")
            time.sleep(0.1)

    # -- the whole ----------------------------------------------------------------------------

    def run(self):
        if self.options.fresh and self.home.exists():
            if any(self.home.iterdir()) and not (self.home / "options.json").exists():
                raise Failed(f"{self.home} was not made by ops/run: not removed")
            subprocess.run([ROOT / "ops/kafka", "stop", "--dir", self.home / "kafka"], check=True)
            shutil.rmtree(self.home)
        if self.loaded.exists():
            self.resume()
            self.show()
        else:
            self.start()
            self.show()
            self.compare()

    def start(self):
        if self.home.exists() and any(self.home.iterdir()):
            raise Failed(f"{self.home} holds something else, or a run that did not finish; "
                         "--fresh starts over, --home DIR goes elsewhere")
        self.home.mkdir(parents=True, exist_ok=True)
        write_json(self.home / "options.json", {"kafka": self.options.kafka})
        self.log = self.open_log()
        self.generate()
        manifest = self.manifest()
        issuers = sorted({file.name.split("-")[0] for file in self.notices.rglob("*.ndjson")})
        self.found(issuers)
        with stage(f"send {manifest['final']['notices']:,} notices in {len(manifest['rounds'])} rounds"):
            seconds = self.load(manifest["rounds"])
        with stage("record file catches up"):
            self.catch_up()
        write_json(self.loaded, {"issuers": len(issuers), "seconds": round(seconds, 3)})

    def resume(self):
        kafka = json.loads((self.home / "options.json").read_text())["kafka"]
        if self.options.kafka and not kafka:
            raise Failed(f"{self.home} keeps its ledger in a local log; --fresh starts over, --home DIR goes elsewhere")
        self.options.kafka = kafka
        self.log = self.open_log()
        self.serve()

    def again(self):
        """What to say to come back to this home."""
        kafka = " --kafka" if self.options.kafka else ""
        return kafka if self.home == usual_home(self.options.kafka) else f"{kafka} --home {relative(self.home)}"

    def manifest(self):
        return json.loads((self.notices / "manifest.json").read_text())

    def show(self):
        status, manifest = self.catch_up(), self.manifest()
        load = json.loads(self.loaded.read_text())
        final, records = manifest["final"], status["record_file"]
        example = manifest["examples"][0]
        checkpoint = status["checkpoint"]
        who = ["--operator", "op1", "--operator-key", self.node / "operators/op1.key", "--duty", "5-1"]
        record = ["record", "--home", self.node, *who, "--resident-code", example["resident_code"], "--history"]
        command = shlex.quote(relative(DAICHO))

        def line(*arguments):
            return "  " + shlex.join([command, *(relative(a) for a in arguments)])

        print(f"""
Daichō now keeps the record file of prefecture {status["prefecture"]}, in {status["log"]}

  {load["issuers"]} municipalities sent {final["notices"]:,} notices in {final["files"]:,} files, {len(manifest["rounds"])} rounds
  {load["seconds"]:.1f} s from the first to the last receipt: {final["notices"] / max(load["seconds"], 1e-9):,.0f} notices/s, signed, checked, sealed and ordered
  {status["size"]:,} entries in the ledger, every one verified again on its way into the record file
  {records["residents"]:,} residents and {records["removed"]:,} removed; digest of all versions {records["digest"]}
  a signed checkpoint covers {checkpoint["size"]:,} entries: {checkpoint["root"]}

One resident ({example["description"]}), every version that the ledger has kept:
""")
        print(daicho(*record).rstrip())
        print("\nLook further" + (":" if not self.options.once else f", after ./ops/run{self.again()} has started it again:"))
        print(line("status", "--home", self.node))
        print(line(*record))
        print(line(*record[:-1], "--on", "令和6年1月1日") + "    what held on that day")
        print(line("audit", "verify", "--home", self.node) + "    every entry, signature and checkpoint, without a key")
        print(line("retention", "plan", "--home", self.node) + "    what has outlived its period")
        print(line("export", "--home", self.node, "--to", "export") + "    all that a stranger needs to verify it")
        print(line("rebuild", "--home", self.node) + "    the record file anew from the ledger (stop the node first)")
        for other in manifest["examples"][1:]:
            print(f"  --resident-code {other['resident_code']}  {other['description']}")
        print(f"  {relative(self.home / 'serve.log')}    what the node said")
        sys.stdout.flush()

    def compare(self):
        """The generator knows how many residents its notices must have left."""
        counted, final = self.status()["record_file"], self.manifest()["final"]
        for what in ("residents", "removed"):
            if counted[what] != final[what]:
                raise Failed(f"{what}: {counted[what]:,} in the record file, {final[what]:,} expected")

    def stay(self):
        print("\nThe node runs; Ctrl-C stops it.", flush=True)
        status = self.server.wait()
        raise Failed(f"serve ended with status {status}; see {relative(self.home / 'serve.log')}")

    def stop(self):
        if self.server is not None and self.server.poll() is None:
            self.server.terminate()
            try:
                self.server.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        if self.broker:
            subprocess.run([ROOT / "ops/kafka", "stop", "--dir", self.home / "kafka"], check=False)


def write_json(path, value):
    path.write_text(json.dumps(value) + "\n")


def usual_home(kafka):
    """A log of either kind has a home of its own, so that one may be tried after the other."""
    return ROOT / ("home-kafka" if kafka else "home")


def relative(path):
    """As one types it from here, where that is shorter."""
    text = str(path)
    here = os.getcwd() + "/"
    return text.replace(here, "", 1) if text.startswith(here) or ":" + here in text else text


def main():
    parser = argparse.ArgumentParser(prog="ops/run")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--residents", type=int, default=20_000)
    parser.add_argument("--home", type=pathlib.Path)
    parser.add_argument("--fresh", action="store_true")
    run = Run(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run.run()
        if not run.options.once:
            run.stay()
        return 0
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130 if run.options.once else 0
    except Failed as failure:
        print(f"ops/run: {failure}", file=sys.stderr)
        return 1
    finally:
        run.stop()


sys.exit(main())
