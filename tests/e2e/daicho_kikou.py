"""機構, as the stand-in plays it, driven from outside."""

import json
import pathlib
import re
import subprocess

from daicho_node import DAICHO, STOP_SECONDS_MAX, Failed, daicho, wait_until


class Kikou:
    """A stand-in for 機構 beside a node."""

    def __init__(self, node, *arguments):
        self.node, self.arguments = node, arguments
        self.directory = pathlib.Path(node.directory) / "kikou"
        self.port = 0
        daicho("kikou", "init", "--dir", self.directory)
        (self.directory / "words").touch()
        self.process = None

    def start(self):
        """On the port it had, if it had one. The node must have been told its key before, or be told by connect."""
        words = self.directory / "words"
        words.write_text("")
        known = self.node.home / "kikou.pub"
        with open(words, "ab") as out:
            self.process = subprocess.Popen(
                [DAICHO, "kikou", "simulate", "--dir", self.directory, "--listen", f"127.0.0.1:{self.port}",
                 *(["--prefecture-key", known] if known.exists() else []), *map(str, self.arguments)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)

        def listening():
            if self.process.poll() is not None:
                raise Failed(f"kikou simulate ended with {self.process.returncode}: {words.read_text()}")
            return re.search(r"listens on (http://127\.0\.0\.1:(\d+))", words.read_text())

        found = wait_until("the stand-in listens", listening, seconds=30)
        self.url, self.port = found.group(1), int(found.group(2))
        return self

    def connect(self):
        """The node knows it from here on, and it the node."""
        self.start()
        said = self.set()
        self.stop()
        self.start()
        return said

    def set(self, status=0, **changed):
        url, key = changed.get("url", self.url), changed.get("key", self.directory / "kikou.pub")
        return daicho("kikou", "set", "--home", self.node.home, "--url", url, "--public-key", key, status=status)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        if self.process.wait(STOP_SECONDS_MAX) != 0:
            raise Failed(f"kikou simulate ended with {self.process.returncode}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()

    def drift(self, kind, count=1, seed=1, status=0):
        done = daicho("kikou", "drift", "--dir", self.directory, "--kind", kind, "--count", count, "--seed", seed,
                      status=status)
        return done.lines() if status == 0 else done.err

    def copy(self):
        """What it holds, once it is stopped: what it says of itself, and its rows by 住民票コード."""
        out = self.directory / "copy.ndjson"
        said = json.loads(daicho("kikou", "copy", "--json", "--dir", self.directory, "--out", out).out)
        header, *rows = [json.loads(line) for line in out.read_text().splitlines()]
        if header["count"] != len(rows):
            raise Failed(f"{header['count']} rows said, {len(rows)} there")
        return said, {row["resident_code"]: row for row in rows}

    def sketch(self, *arguments):
        """A sketch file of it, once it is stopped."""
        out = self.directory / "copy.sketch"
        daicho("kikou", "copy", "--dir", self.directory, "--sketch", out, *arguments)
        return out

    def ask(self, *arguments, operator="op1", duty="5-1", basis="30-9", fields="name,birth", status=0, **options):
        more = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        done = daicho("kikou", "inquire", "--json", "--home", self.node.home, "--operator", operator, "--duty", duty,
                      "--basis", basis, "--purpose", "照会 R8-1", "--fields", fields, *arguments, *more, status=status)
        return json.loads(done.out) if done.out else done.err
