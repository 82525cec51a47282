"""A stranger, with Go's libraries and the keys alone, verifies what a node serves and what it exports, and
finds every byte that was changed. Two witnesses cosign; one of them serves over HTTP from its own process."""

import pathlib
import re
import shutil
import subprocess
import sys
import unittest
import urllib.request

import daicho_verifier
from daicho_node import DAICHO, Failed, Node, daicho, notice, notice_file, stop_process, temporary_directory, wait_until

ISSUER = "102016"
NOTICES = 600  # more than two tiles


class Witness:
    """Somebody's home and the process that serves it."""

    def __init__(self, directory, name):
        self.home = pathlib.Path(directory) / name
        self.key = daicho("witness", "init", "--home", self.home, "--name", f"witness.example/{name}").out.strip()

    def trust(self, ledger):
        return daicho("witness", "trust", "--home", self.home, "--ledger", ledger).out.strip()

    def serve(self):
        self.words = self.home.with_suffix(".log")
        with open(self.words, "wb") as out:
            self.process = subprocess.Popen([DAICHO, "witness", "serve", "--home", self.home, "--listen", "127.0.0.1:0"],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)

        def port():
            if self.process.poll() is not None:
                raise Failed(f"witness serve ended: {self.words.read_text()}")
            return re.search(r"port (\d+)", self.words.read_text())

        self.url = f"http://127.0.0.1:{wait_until('the witness listens', port)[1]}"

    def add_checkpoint(self, note, old=0):
        """The cosignature line."""
        request = urllib.request.Request(f"{self.url}/add-checkpoint", f"old {old}\n\n{note}".encode(), method="POST")
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()


class GoVerify(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = cls.enterClassContext(temporary_directory())
        cls.program = daicho_verifier.build(cls.directory)
        cls.node = cls.enterClassContext(Node.found(cls.directory, None, [ISSUER]))
        cls.witnesses = [Witness(cls.directory, name) for name in ("a", "b")]
        for witness in cls.witnesses:
            cls.log_key = witness.trust(cls.node.home / "ledger.pub.json")
            witness.serve()
            cls.addClassCleanup(stop_process, witness.process)
        file = cls.directory / "notices.ndjson"
        file.write_bytes(notice_file(ISSUER, 1, [notice(n, ISSUER) for n in range(NOTICES)]))
        cls.node.gateways[ISSUER].send(file)
        wait_until("a checkpoint covers the ledger", cls.covered)
        cls.export = cls.directory / "export"
        daicho("export", "--home", cls.node.home, "--to", cls.export)
        note = (cls.export / "checkpoint").read_text()
        cosigned = note + "".join(witness.add_checkpoint(note) for witness in cls.witnesses)
        (cls.export / "checkpoint").write_text(cosigned)

    @classmethod
    def covered(cls):
        status = cls.node.status()
        return (status["checkpoint"] or {}).get("size") == status["size"]

    def verify(self, where=None, **options):
        given = {"log": self.log_key, "witnesses": [w.key for w in self.witnesses], "quorum": 2, **options}
        return daicho_verifier.verify(self.program, where or self.export, **given)

    def accepted(self, *arguments, **options):
        ran = self.verify(*arguments, **options)
        self.assertEqual(ran.status, 0, ran.err)
        return dict(re.findall(r"(\w+)=(\S+)", ran.out))

    def refused(self, *arguments, **options):
        ran = self.verify(*arguments, **options)
        self.assertEqual(ran.status, 1, ran.out)
        return ran.err

    def copy(self):
        copy = self.directory / self._testMethodName
        shutil.copytree(self.export, copy)
        return copy

    def test_an_export_is_what_its_checkpoint_says(self):
        found = self.accepted()
        self.assertGreater(int(found["size"]), NOTICES)
        self.assertEqual(found["inclusions"], found["size"])
        self.assertEqual(found["cosignatures"], "2")

    def test_a_served_node_shows_the_same_ledger(self):
        url = self.node.status()["http"]
        served = self.accepted(url, quorum=0, checkpoints=[self.export / "checkpoint"])
        self.assertGreaterEqual(int(served["size"]), int(self.accepted()["size"]))

    def test_the_keys_of_others_verify_nothing(self):
        other = Witness(self.directory, "other")
        self.refused(witnesses=[other.key], quorum=1)
        name, _, rest = self.log_key.partition("+")
        self.refused(log=f"{name}x+{rest}")

    def test_a_changed_byte_in_any_file_is_found(self):
        copy = self.copy()
        files = [copy / "checkpoint", *(path for path in (copy / "tile").rglob("*") if path.is_file())]
        self.assertGreater(len(files), 6)
        for file in files:
            good = file.read_bytes()
            for at in {0, len(good) // 2, len(good) - 1}:
                file.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
                with self.subTest(file=file.relative_to(copy), at=at):
                    self.refused(copy)
            file.write_bytes(good)
        self.accepted(copy)

    def test_a_proof_of_one_entry_is_checked_alone(self):
        proof = self.directory / "one.tlog-proof"
        daicho("audit", "prove", "--home", self.node.home, "--position", 300, "--out", proof)
        self.accepted(quorum=0, proofs=[proof])
        text = proof.read_text()
        proof.write_text(text.replace("index 300\n", "index 301\n"))
        self.refused(quorum=0, proofs=[proof])


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
