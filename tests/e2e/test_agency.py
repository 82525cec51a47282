"""An agency's end against the real broker and a served node: it asks by line, receives exactly once however often it is
killed, holds each answer against the ledger, acknowledges, and is put right by nobody. The example in
consumers/examples, which has nothing of Daichō, must come to the same answers."""

import json
import os
import pathlib
import random
import subprocess
import time
import unittest

from daicho_agency import Agency, residents_of
from daicho_node import (DAICHO, DEBIAN_PYTHON, ROOT, Node, Notices, OnKafka, daicho, individual_number, notice, notice_file,
                         temporary_directory, wait_until)

MAEBASHI = "102016"
BOE = ("--basis", "30-15-2/6-3", "--duty", "6-3-1")
EXAMPLE = ROOT / "consumers/examples/agency.py"


class AgencyTest(unittest.TestCase):
    """Of a class that has a `node`."""

    def agency(self, name):
        agency = Agency(self.node, name, "prefectural-agency" if name == "gunma-boe" else "department")
        # Registered, and its topics are there.
        self.run_agency(agency, "receive")
        return agency

    def run_agency(self, agency, command, *arguments, status=0):
        log = ("--log", self.node.log) if command not in ("open", "sign") else ()
        return daicho("agency", command, "--json", "--home", agency.home, *log, "--ledger",
                      self.node.home / "ledger.pub.json", *arguments, status=status)


class OnTheBroker(OnKafka, AgencyTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = cls.enterClassContext(temporary_directory())
        notices = Notices(cls.directory / "notices", residents=300, years=1)
        cls.node = cls.enterClassContext(Node.found(cls.directory, log=cls.broker.log, issuers=notices.issuers))
        cls.node.send_all(notices)
        cls.node.catch_up()
        cls.people = residents_of(cls.node, notices, 5)
        cls.url = cls.node.status()["http"]
        cls.ledger = cls.node.home / "ledger.pub.json"

    def number(self, person=0):
        return self.people[person]["record"]["individual_number"]

    def test_asks_receives_and_acknowledges(self):
        boe = self.agency("gunma-boe")
        # Refused, then answered while the agency waits.
        said = self.run_agency(boe, "ask", *BOE, "--reference", "R8-0001", "--individual-number", self.number(), "--field",
                               "resident_code", "--wait", status=1).lines()
        self.assertEqual([(each["refusal"], each["count"]) for each in said], [("field", 0)])
        said = self.run_agency(boe, "ask", *BOE, "--reference", "R8-0002", "--individual-number", self.number(),
                               "--field", "name", "--wait").lines()
        self.assertEqual(said[0]["answers"][0]["record"], {"name": self.people[0]["record"]["name"]})
        # A batch of three events.
        lines = [{"id": str(i), "individual_number": self.number(i % 5)} for i in range(150)]
        request = boe.write("30-15-2/6-3", "6-3-1", lines, reference="R8-0003")
        self.run_agency(boe, "ask", "--request", request)
        out = boe.home / "answers"
        received = []

        def all_there():
            received.extend(self.run_agency(boe, "receive", "--checkpoint", self.url, "--out", out).lines())
            return len(received) == 5
        wait_until("five messages", all_there)
        self.assertTrue(all(each["proven"] for each in received))
        self.assertEqual([(each["reference"], each["chunk"], each["count"]) for each in received],
                         [("R8-0001", 0, 0), ("R8-0002", 0, 1), ("R8-0003", 0, 63), ("R8-0003", 1, 63), ("R8-0003", 2, 24)])
        self.assertEqual(sorted(file.name for file in out.iterdir()),
                         sorted(pathlib.Path(each["file"]).name for each in received))
        answers = [json.loads(line) for chunk in range(3)
                   for line in (out / f"R8-0003.{chunk}.ndjson").read_text().splitlines()[1:]]
        self.assertEqual([answer["id"] for answer in answers], [line["id"] for line in lines])

        size = self.node.status()["size"]
        self.assertEqual(json.loads(self.run_agency(boe, "reply").out), {"sent": 5})
        self.assertEqual(json.loads(self.run_agency(boe, "reply").out), {"sent": 0})
        wait_until("the receipts are in the ledger", lambda: self.node.status()["size"] == size + 5)

    def test_receives_exactly_once_through_kills(self):
        tax = self.agency("gunma-tax")
        lines = [{"id": str(i), "individual_number": self.number(i % 5)} for i in range(63 * 12)]
        request = tax.write("30-15-1/5-tax", "5-tax-1", lines, reference="R8-0100")
        self.run_agency(tax, "ask", "--request", request)
        out = tax.home / "answers"
        command = [DAICHO, "agency", "receive", "--json", "--home", tax.home, "--log", self.node.log, "--checkpoint",
                   self.url, "--out", out, "--reply"]
        dice, kills = random.Random(1), 0
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                # Ever longer, so that a slow machine comes to the end too.
                status = process.wait(dice.uniform(0.0, 0.35 * 1.05**kills))
                self.assertEqual(status, 0)
                if out.exists() and len(list(out.glob("*.ndjson"))) == 12:
                    break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        self.assertGreater(kills, 0)
        self.assertEqual(sorted(file.name for file in out.glob("*.ndjson")),
                         sorted(f"R8-0100.{chunk}.ndjson" for chunk in range(12)))
        answers = [json.loads(line)["id"] for chunk in range(12)
                   for line in (out / f"R8-0100.{chunk}.ndjson").read_text().splitlines()[1:]]
        self.assertEqual(answers, [line["id"] for line in lines])
        self.assertEqual(json.loads(self.run_agency(tax, "reply").out), {"sent": 0})
        wait_until("all is confirmed", lambda: not [
            each for each in self.node.status()["roles"]["provider"]["agencies"]
            if each["agency"] == "gunma-tax" and each["unconfirmed"] > 0])
        self.assertFalse((tax.home / "refused").exists())

    def test_a_file_that_came_by_medium(self):
        housing = self.agency("gunma-housing")
        record = self.people[0]["record"]
        request = housing.write("30-15-1/5-28", "5-28-1", [{"id": "1", "individual_number": self.number()}], method="medium")
        # As daicho agency sign signs it.
        by_openssl = request.with_suffix(".ndjson.sig").read_text()
        self.run_agency(housing, "sign", "--request", request)
        self.assertEqual(request.with_suffix(".ndjson.sig").read_text(), by_openssl)
        medium = housing.home / "medium.cms"
        housing.provide(request, "--out", medium)
        said = json.loads(self.run_agency(housing, "open", medium).out)
        self.assertEqual((said["reference"], said["count"]), ("R8-0001", 1))
        opened = pathlib.Path(said["file"]).read_text().splitlines()
        self.assertEqual(json.loads(opened[1])["record"]["name"], record["name"])
        changed = bytearray(medium.read_bytes())
        changed[-30] ^= 1
        (housing.home / "changed.cms").write_bytes(changed)
        self.run_agency(housing, "open", housing.home / "changed.cms", status=1)
        self.assertFalse((housing.home / "changed.cms.ndjson").exists())

    def test_the_example_comes_to_the_same_answers(self):
        welfare = self.agency("gunma-welfare")
        messages = self.directory / "messages"
        messages.mkdir()
        subprocess.run(["protoc", "-I", ROOT, f"--python_out={messages}", *(f"events/{name}.proto" for name in
                        ("envelope", "provision", "search", "resident", "consistency"))], check=True, cwd=ROOT)

        def example(*arguments, ledger=self.ledger):
            return subprocess.run(
                [DEBIAN_PYTHON, EXAMPLE, "--home", welfare.home, "--ledger", ledger, "--url", self.url, "--brokers",
                 self.node.log.removeprefix("kafka://"), "--once", *map(str, arguments)],
                capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(messages)})

        record = self.people[2]["record"]
        asked = ("--basis", "30-15-1-3", "--duty", "consent-1", "--name", record["name"], "--birth", record["birth"],
                 "--address", record["address"]["text"], "--consent", "同意書 R8-17")
        said = self.run_agency(welfare, "ask", *asked, "--reference", "R8-0001", "--wait").lines()
        ran = example()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        head, *answers = ran.stdout.splitlines()
        self.assertEqual(head, f"# R8-0001 1/1, position {said[0]['position']}: proven")
        self.assertEqual([json.loads(answer) for answer in answers], said[0]["answers"])
        # Its receipt is in the ledger; what it received does not come again.
        wait_until("the receipt", lambda: self.node.status()["size"] >= said[0]["position"] + 2)
        self.assertEqual(example().stdout, "")
        self.run_agency(welfare, "ask", *asked, "--reference", "R8-0002", "--wait")
        # Against a ledger of another key nothing is believed.
        public = json.loads(self.ledger.read_text())
        public["sequencer_public_key"] = public["registrar_public_key"]
        (welfare.home / "other.json").write_text(json.dumps(public))
        ran = example(ledger=welfare.home / "other.json")
        self.assertNotEqual(ran.returncode, 0)
        self.assertEqual(ran.stdout, "")
        self.assertIn("not signed by the ledger's key", ran.stderr)
        self.assertEqual(example("--out", welfare.home).returncode, 0)
        self.assertEqual(len(list(welfare.home.glob("R8-0002.0.*.ndjson"))), 1)


class OnALocalLog(AgencyTest):
    """Through the running node's socket."""

    def test_a_standing_request_tells_each_later_change(self):
        directory = self.enterContext(temporary_directory())
        self.node = self.enterContext(Node.found(directory, issuers=[MAEBASHI]))

        def notify(sequence, *about):
            file = directory / f"{sequence}.ndjson"
            file.write_bytes(notice_file(MAEBASHI, sequence, list(about)))
            return self.node.gateways[MAEBASHI].send(file)[0]["positions"][1]

        notify(1, notice(1, MAEBASHI), notice(2, MAEBASHI))
        boe = self.agency("gunma-boe")
        out = boe.home / "answers"

        def receive(count):
            received = []
            wait_until(f"{count} messages", lambda: received.extend(self.run_agency(
                boe, "receive", "--out", out, "--checkpoint", self.node.status()["http"], "--reply").lines()) or
                len(received) >= count)
            self.assertEqual(len(received), count)
            return received

        standing = (*BOE, "--mode", "standing", "--reference", "R8-0001")
        self.run_agency(boe, "ask", *standing, "--individual-number", individual_number(1))
        (first,) = receive(1)
        self.assertEqual((first["found"], pathlib.Path(first["file"]).name), (1, "R8-0001.0.ndjson"))
        moved = {"kind": "amend", "reason": "address_change", "update_number": 2}
        there = {"municipality": MAEBASHI, "text": "岩神町一丁目２６番２号"}
        caused_by = notify(2, notice(1, MAEBASHI, **moved, address=there), notice(2, MAEBASHI, **moved, address=there))
        (later,) = receive(1)
        self.assertEqual((later["cause"], later["proven"]), (caused_by - 1, True))
        self.assertEqual(pathlib.Path(later["file"]).name, f"R8-0001.0.{later['position']}.ndjson")
        answer = json.loads(pathlib.Path(later["file"]).read_text().splitlines()[1])
        self.assertEqual(answer["record"]["address"], there)


if __name__ == "__main__":
    unittest.main()
