"""A prefecture's node and its municipalities' gateways, driven from outside: by the daicho command, by
signals, and by the node's socket. Tests in this folder and ops/chaos speak through it.

Everything lives in one directory and on 127.0.0.1. Processes are stopped by their own pid.
"""

import atexit
import concurrent.futures
import contextlib
import datetime
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]
DAICHO = os.environ.get("DAICHO_BIN") or str(ROOT / "build/release/consumers/daicho")
DEBIAN_PYTHON = "/usr/bin/python3"  # which has confluent_kafka and the like; another may come first in PATH
DELETE_TOPICS = """
import sys, time
from confluent_kafka.admin import AdminClient
admin = AdminClient({"bootstrap.servers": sys.argv[1]})
def topics():
    return [name for name in admin.list_topics(timeout=60).topics if not name.startswith("__")]
if known := topics():
    for deleted in admin.delete_topics(known, operation_timeout=60).values():
        deleted.result()
deadline = time.monotonic() + 60
while topics():
    assert time.monotonic() < deadline, topics()
    time.sleep(0.02)
"""
EVERY_ROLE = "sequencer,projector,records,provider,disclosure,notary,retention,kikou,reconciler"
HTTP = ("--listen", "127.0.0.1:0")
GATEWAYS_AT_ONCE = 4
READY_SECONDS_MAX = 60
CATCH_UP_SECONDS_MAX = 120
STOP_SECONDS_MAX = 60


class Failed(Exception):
    """The system did not do what it must; the message says where."""


class Done(typing.NamedTuple):
    status: int
    out: str
    err: str

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


def daicho(*arguments, status=0):
    """Runs one command; `status` is the exit status it must have, or None for any."""
    command = [DAICHO, *map(str, arguments)]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if status is not None and ran.returncode != status:
        raise Failed(f"exit status {ran.returncode}, not {status}: daicho {' '.join(command[1:])}\n"
                     f"{ran.stdout[-4000:]}{ran.stderr[-4000:]}")
    return Done(ran.returncode, ran.stdout, ran.stderr)


@contextlib.contextmanager
def temporary_directory():
    """Removed afterwards, unless DAICHO_KEEP is set."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="daicho-e2e-"))
    try:
        yield path
    finally:
        if os.environ.get("DAICHO_KEEP"):
            print(f"kept: {path}", flush=True)
        else:
            shutil.rmtree(path, ignore_errors=True)


def wait_until(what, condition, seconds=CATCH_UP_SECONDS_MAX, every=0.02):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(every)


class Broker:
    """A Kafka broker of one's own: topics of a prefecture are named alike in every ledger, so two
    ledgers cannot share one."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def _run(self, command, *options):
        ran = subprocess.run([ROOT / "ops/kafka", command, "--dir", self.directory, *options],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if ran.returncode != 0:
            raise Failed(f"ops/kafka {command} failed")
        return ran.stdout.strip()

    def start(self):
        self.log = "kafka://" + self._run("start", "--port", "any")
        return self

    def reset(self):
        """Without any topic again."""
        ran = subprocess.run([DEBIAN_PYTHON, "-c", DELETE_TOPICS, self.log.removeprefix("kafka://")],
                             capture_output=True, text=True)
        if ran.returncode != 0:
            raise Failed(f"the topics could not be deleted\n{ran.stderr}")

    def stop(self):
        self._run("stop")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class OnKafka:
    """Before a test case that asks itself for its `log`: the same on a real broker, one for the whole class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.broker = cls.enterClassContext(Broker(cls.enterClassContext(temporary_directory()) / "kafka"))

    def log(self):
        self.broker.reset()
        return self.broker.log


class Notices:
    """What daicho generate wrote: rounds, each with the files of some municipalities."""

    def __init__(self, directory, residents, years, seed=1):
        self.directory = pathlib.Path(directory)
        if not self.directory.exists():
            daicho("generate", "--residents", residents, "--years", years, "--seed", seed, "--out", self.directory)
        manifest = json.loads((self.directory / "manifest.json").read_text())
        self.final, self.examples = manifest["final"], manifest["examples"]
        # Per round: {issuer: [file, …]}. Within a round the order of issuers does not matter.
        self.rounds = []
        for each in manifest["rounds"]:
            files = {}
            for file in sorted((self.directory / each["round"]).iterdir()):
                files.setdefault(file.name.split("-")[0], []).append(file)
            self.rounds.append(files)
        self.issuers = sorted({issuer for files in self.rounds for issuer in files})

    def files_of(self, issuer):
        return [file for files in self.rounds for file in files.get(issuer, [])]


class Gateway:
    """A municipality's end."""

    def __init__(self, home, issuer, log):
        self.home, self.issuer, self.log = pathlib.Path(home), issuer, log

    def init(self):
        self.home.parent.mkdir(parents=True, exist_ok=True)
        public_key = self.home.with_suffix(".pub")
        public_key.write_text(daicho("gateway", "init", "--home", self.home, "--issuer", self.issuer).out)
        return public_key

    def command(self, *files):
        return ["gateway", "send", "--json", "--home", self.home, "--log", self.log, *files]

    def try_send(self, *files):
        """Whatever comes of it, as Done."""
        return daicho(*self.command(*files), status=None)

    def start_send(self, *files):
        """A process whose answers nobody reads."""
        return subprocess.Popen([DAICHO, *map(str, self.command(*files))], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def send(self, *files):
        """The answers; every file must be admitted."""
        answers = daicho(*self.command(*files)).lines()
        if len(answers) != len(files) or any(answer["errors"] for answer in answers):
            raise Failed(f"issuer {self.issuer}: {answers}")
        return answers

    def reject(self, file):
        """The errors of a file that must be rejected."""
        answers = daicho(*self.command(file), status=1).lines()
        if len(answers) != 1 or answers[0]["outcome"] != "rejected" or answers[0]["positions"] != []:
            raise Failed(f"not rejected: {answers}")
        return answers[0]["errors"]

    def watch(self, spool, log):
        """A process that sends what appears in `spool`; its words go to the file `log`."""
        spool.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as out:
            return subprocess.Popen(
                [DAICHO, "gateway", "watch", "--json", "--home", self.home, "--log", self.log, "--spool", spool],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)


class Node:
    """A prefecture's home and the processes that serve it."""

    def __init__(self, directory, log):
        self.directory = pathlib.Path(directory)
        self.home = self.directory / "node"
        self.log = log
        self.gateways = {}
        self.processes = {}  # roles -> process

    # -- set-up -------------------------------------------------------------------------------

    @classmethod
    def found(cls, directory, log=None, issuers=()):
        """A new ledger, served, with a gateway per issuer. Without `log`: a local one."""
        directory = pathlib.Path(directory)
        node = cls(directory, log or f"local:{directory / 'log'}")
        daicho("init", "--home", node.home, "--prefecture", "10", "--log", node.log)
        node.start()
        try:
            for issuer in issuers:
                node.register(issuer)
        except BaseException:
            node.kill()
            raise
        return node

    def gateway(self, issuer):
        """The gateway of an issuer, registered or not."""
        if issuer not in self.gateways:
            gateway = Gateway(self.directory / "gateways" / issuer, issuer, self.log)
            gateway.public_key = gateway.init()
            self.gateways[issuer] = gateway
        return self.gateways[issuer]

    def register(self, issuer):
        gateway = self.gateway(issuer)
        daicho("issuer", "add", "--home", self.home, "--issuer", issuer, "--public-key", gateway.public_key)
        return gateway

    # -- processes ----------------------------------------------------------------------------

    def launch(self, roles=EVERY_ROLE, day=None, more=()):
        """Starts a process and does not wait for it. Its clock begins on that day, if one is given; `more` arguments."""
        path = self.words_of(roles)
        with open(path, "ab") as out:
            self.processes[roles] = subprocess.Popen(
                [DAICHO, "serve", "--home", self.home, "--roles", roles, *(HTTP if "notary" in roles else ()),
                 *more],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=clock_of(day))
        return self.processes[roles]

    def await_ready(self, roles=EVERY_ROLE):
        process = self.processes[roles]

        def ready():
            if process.poll() is not None:
                raise Failed(f"serve --roles {roles} ended with {process.returncode}:\n{self.words(roles)}")
            if "records" in roles:
                return self.answers()
            return f"daicho: serving {self.home} " in self.words(roles)

        wait_until(f"serve --roles {roles}", ready, READY_SECONDS_MAX)

    def start(self, roles=EVERY_ROLE, day=None, more=()):
        with contextlib.suppress(FileNotFoundError):
            self.words_of(roles).unlink()
        self.launch(roles, day, more)
        self.await_ready(roles)

    def stop(self, roles=None):
        """Asks the processes (of `roles`) to end; each must say that all was well."""
        for each in [roles] if roles else list(self.processes):
            process = self.processes.pop(each)
            process.terminate()
            try:
                status = process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise Failed(f"serve --roles {each} did not stop within {STOP_SECONDS_MAX} s") from None
            if status != 0:
                raise Failed(f"serve --roles {each} ended with {status}:\n{self.words(each)}")

    def kill(self, roles=None):
        """kill -9."""
        for each in [roles] if roles else list(self.processes):
            process = self.processes.pop(each)
            process.kill()
            process.wait()

    def words_of(self, roles):
        return self.directory / f"serve-{roles.replace(',', '+')}.log"

    def words(self, roles=EVERY_ROLE):
        try:
            return self.words_of(roles).read_text(errors="replace")[-4000:]
        except FileNotFoundError:
            return ""

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()

    # -- questions ----------------------------------------------------------------------------

    def connect(self):
        return NodeSocket(self.home)

    def answers(self):
        try:
            with self.connect() as connection:
                return bool(connection.status())
        except OSError:
            return False

    def status(self):
        return json.loads(daicho("status", "--json", "--home", self.home).out)

    def catch_up(self):
        """The status, once the record file stands where the ledger does."""
        with self.connect() as connection:
            def level():
                status = connection.status()
                return status if status["record_file"]["position"] >= status["size"] else None
            return wait_until("the record file catches up", level)

    def content(self):
        """What the ledger amounts to: the same for the same notices, whatever the log and the order."""
        return {key: value for key, value in self.catch_up()["record_file"].items() if key != "position"}

    def rebuild(self):
        return json.loads(daicho("rebuild", "--json", "--home", self.home).out)

    def record(self, *arguments, operator="op1", duty="5-1", status=0):
        return daicho("record", "--json", "--home", self.home, "--operator", operator, "--duty", duty, *arguments,
                      status=status)

    # -- load ---------------------------------------------------------------------------------

    def send_all(self, notices, order=lambda issuers: issuers, at_once=GATEWAYS_AT_ONCE):
        """Every round; a round begins when the one before is admitted. `order` arranges its issuers."""
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            for files in notices.rounds:
                issuers = order(sorted(files))
                list(pool.map(lambda issuer: self.gateways[issuer].send(*files[issuer]), issuers))


def clock_of(day):
    """The environment of a process whose clock begins on that day."""
    if day is None:
        return None
    library = pathlib.Path(tempfile.gettempdir()) / f"daicho-ahead-{os.getpid()}.so"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests/e2e/ahead.c"], check=True)
        atexit.register(library.unlink)
    ahead = datetime.datetime.fromisoformat(day).timestamp() - time.time()
    # Loaded before the runtime of a sanitizer, which does not mind when told.
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {**os.environ, "LD_PRELOAD": str(library), "ASAN_OPTIONS": sanitizer, "DAICHO_AHEAD_SECONDS": str(int(ahead) + 86_400)}


class NodeSocket:
    """The node's own socket: 4-byte big-endian length, then one message of consumers/node.proto."""

    STATUS = bytes([0x2A, 0x00])  # Request.status, empty

    def __init__(self, home):
        # A socket's address is short; its directory may be anywhere.
        directory = os.open(home, os.O_PATH | os.O_DIRECTORY)
        try:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(30)
            try:
                self.socket.connect(f"/proc/self/fd/{directory}/node.sock")
            except BaseException:
                self.socket.close()
                raise
        finally:
            os.close(directory)

    def call(self, message):
        """Fields of the response."""
        self.socket.sendall(struct.pack(">I", len(message)) + message)
        (size,) = struct.unpack(">I", self._read(4))
        return decode(self._read(size))

    def status(self):
        fields = self.call(self.STATUS)
        if 1 in fields:
            raise Failed(f"status: {fields.get(2, b'').decode()}")
        return json.loads(fields[6])

    def visible(self, position=0, wait=30):
        """Where the record file is once everything below `position` can be read, or `wait` seconds have passed."""
        fields = self.call(encode(52, encode(1, position) + encode(2, int(wait * 1000))))
        if 1 in fields:
            raise Failed(f"await_visible: {fields.get(2, b'').decode()}")
        return fields.get(5, 0)

    def _read(self, size):
        out = b""
        while len(out) < size:
            part = self.socket.recv(size - len(out))
            if not part:
                raise ConnectionError("the node closed the connection")
            out += part
        return out

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def encode(field, value):
    """A number or a length-delimited field of a protobuf message; none when it is 0 or empty."""
    def varint(number):
        out = b""
        while number > 0x7F:
            out += bytes([number & 0x7F | 0x80])
            number >>= 7
        return out + bytes([number])
    if isinstance(value, int):
        return varint(field << 3) + varint(value) if value else b""
    return varint(field << 3 | 2) + varint(len(value)) + value if value else b""


def decode(message):
    """Fields of a protobuf message of varints and length-delimited fields; the last of each wins."""
    fields, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            fields[tag >> 3] = varint()
        else:
            size = varint()
            fields[tag >> 3] = message[at:at + size]
            at += size
    return fields


# --- notices made by hand ----------------------------------------------------------------------


def person_check_digit(digits):
    """Of 個人番号 and 住民票コード."""
    remainder = sum(int(d) * (2 + i % 6) for i, d in enumerate(reversed(digits))) % 11
    return str(0 if remainder <= 1 else 11 - remainder)


def resident_code(number):
    digits = f"{number:010d}"
    return digits + person_check_digit(digits)


def individual_number(number):
    digits = f"{number:011d}"
    return digits + person_check_digit(digits)


def wrong_check_digit(number):
    return number[:-1] + str((int(number[-1]) + 1) % 10)


def notice(number, issuer, update_number=1, kind="entry", reason="birth", changed_on="2026-11-02",
           notified_at="2026-11-04T09:00:00+09:00", **changes):
    """About resident `number`, as `issuer` would say it. `changes` go to the record."""
    record = {"name": "新井 一郎", "kana": "あらい いちろう", "kana_certified": True, "birth": "2026-11-02",
              "sex": "male", "address": {"municipality": issuer, "text": "大手町一丁目１番１号"},
              "individual_number": individual_number(number)}
    record.update(changes)
    return {"resident_code": resident_code(number), "update_number": update_number, "kind": kind, "reason": reason,
            "changed_on": changed_on, "notified_at": notified_at, "record": record}


def notice_file(issuer, sequence, notices, **header):
    """A file's bytes. Notices may be dicts or bytes (a line as it is); `header` changes its first line."""
    lines = [n if isinstance(n, bytes) else json.dumps(n, ensure_ascii=False).encode() for n in notices]
    body = b"".join(line + b"\n" for line in lines)
    first = {"format": "daicho-notice/1", "issuer": issuer, "sequence": sequence, "count": len(lines),
             "sha256": hashlib.sha256(body).hexdigest(), **header}
    return json.dumps(first).encode() + b"\n" + body


def stop_process(process):
    """SIGTERM, and SIGKILL when that does not help. Returns the exit status."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
