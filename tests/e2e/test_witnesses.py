"""A ledger and its witnesses, end to end: two of three must cosign, named by the ledger's own rules. What is not
cosigned in time is told, and stops nothing."""

import json
import pathlib
import re
import subprocess
import sys
import unittest

import daicho_verifier
from daicho_node import DAICHO, Failed, Node, daicho, notice, notice_file, stop_process, temporary_directory, wait_until

ISSUER = "102016"


class Witness:
    def __init__(self, directory, name):
        self.name = name
        self.home = pathlib.Path(directory) / name
        self.words = self.home.with_suffix(".log")
        self.key = daicho("witness", "init", "--home", self.home, "--name", f"witness.example/{name}").out.strip()
        self.port = 0

    def serve(self):
        with open(self.words, "wb") as out:
            self.process = subprocess.Popen(
                [DAICHO, "witness", "serve", "--home", self.home, "--listen", f"127.0.0.1:{self.port}"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)

        def port():
            if self.process.poll() is not None:
                raise Failed(f"witness serve ended: {self.words.read_text()}")
            return re.search(r"port (\d+)", self.words.read_text())

        self.port = int(wait_until("the witness listens", port)[1])

    def stop(self):
        stop_process(self.process)


class Witnesses(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(temporary_directory())
        self.node = self.enterContext(Node.found(self.directory, None, [ISSUER]))
        self.files = 0
        self.witnesses = [Witness(self.directory, name) for name in ("a", "b", "c")]
        for witness in self.witnesses:
            witness.log_key = daicho("witness", "trust", "--home", witness.home, "--ledger",
                                     self.node.home / "ledger.pub.json").out.strip()
            witness.serve()
            self.addCleanup(witness.stop)
        self.set_rules(witness_policy=self.policy(), cosign_deadline_s=2)

    def policy(self):
        lines = [f"log {self.witnesses[0].log_key}"]
        lines += [f"witness {w.name} {w.key} http://127.0.0.1:{w.port}/" for w in self.witnesses]
        return "\n".join([*lines, "group two 2 a b c", "quorum two"]) + "\n"

    def set_rules(self, **changes):
        rules = json.loads(daicho("policy", "show", "--json", "--home", self.node.home).out)
        rules = rules.get("rules", rules)
        rules.update(changes)
        file = self.directory / "rules.json"
        file.write_text(json.dumps(rules))
        daicho("policy", "set", "--home", self.node.home, "--file", file, "--operator", "op1", "--operator", "op2")

    def send(self, count=3):
        self.files += 1
        file = self.directory / f"notices-{self.files}.ndjson"
        first = self.files * 1000
        file.write_bytes(notice_file(ISSUER, self.files, [notice(n, ISSUER) for n in range(first, first + count)]))
        self.node.gateways[ISSUER].send(file)

    def cosigned(self):
        status = self.node.status()
        return status["checkpoint"].get("cosigned_size") == status["size"] and status["checkpoint"]

    def test_two_of_three_are_enough_and_losing_them_stops_nothing(self):
        self.send()
        checkpoint = wait_until("the checkpoint is cosigned", self.cosigned)
        self.assertGreaterEqual(checkpoint["cosignatures"], 2)
        self.assertNotIn("alarm", checkpoint)

        self.witnesses[0].stop()
        self.send()
        wait_until("two are enough", self.cosigned)

        self.witnesses[1].stop()
        self.send()  # admitted all the same
        checkpoint = wait_until("the deadline passes",
                                lambda: "alarm" in self.node.status()["checkpoint"] and self.node.status()["checkpoint"])
        self.assertLess(checkpoint["cosigned_size"], checkpoint["size"])
        self.assertIn("waiting_since", checkpoint)

        self.witnesses[1].serve()
        checkpoint = wait_until("the witness is back", self.cosigned)
        self.assertNotIn("alarm", checkpoint)

    def test_auditor_and_stranger_find_the_quorum(self):
        self.send(40)
        wait_until("the checkpoint is cosigned", self.cosigned)
        verified = json.loads(daicho("audit", "verify", "--home", self.node.home, "--json").out)
        self.assertEqual(verified["findings"], [])
        export = self.directory / "export"
        daicho("export", "--home", self.node.home, "--to", export)
        self.assertEqual(json.loads(daicho("audit", "verify", "--export", export, "--json").out)["findings"], [])
        program = daicho_verifier.build(self.directory)
        ran = daicho_verifier.verify(program, export, log=self.witnesses[0].log_key,
                                     witnesses=[w.key for w in self.witnesses], quorum=2)
        self.assertEqual(ran.status, 0, ran.err)
        # A policy that asks for more than there is.
        strict = self.directory / "strict.policy"
        strict.write_text(self.policy().replace("group two 2 a b c\nquorum two",
                                                f"witness d {self.stranger()}\nquorum d"))
        wait_until("the deadline passes", lambda: "policy" in self.kinds_of_findings("--policy", strict))

    def kinds_of_findings(self, *options):
        ran = daicho("audit", "verify", "--home", self.node.home, *options, "--json", status=None)
        return {finding["kind"] for finding in json.loads(ran.out)["findings"]}

    def stranger(self):
        return Witness(self.directory, "d").key


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
