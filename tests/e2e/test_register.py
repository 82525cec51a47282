"""The provision register and re-execution end to end, beside a running node: what was provided is listed, counted and, of
one resident, read under record; and an auditor with the home's keys finds every answer as the prefecture gave it."""

import csv
import json
import subprocess
import unittest

from daicho_agency import Agency, residents_of
from daicho_node import Node, Notices, daicho, temporary_directory


class Register(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(temporary_directory())
        notices = Notices(self.directory / "notices", residents=300, years=1)
        self.node = self.enterContext(Node.found(self.directory, issuers=notices.issuers))
        self.node.send_all(notices)
        self.node.catch_up()
        self.people = residents_of(self.node, notices, 3)
        boe = Agency(self.node, "gunma-boe", "prefectural-agency")
        number = {"individual_number": self.people[0]["record"]["individual_number"]}
        boe.ask("30-15-2/6-3", "6-3-1", number)
        boe.ask("30-15-2/6-3", "6-3-1", number, fields=["name", "birth"])
        boe.ask("30-15-2/6-3", "6-3-1", {"name": "誰でもない 者", "birth": "1990-01-01"})
        boe.ask("30-15-2/6-3", "6-3-1", number, fields=["resident_code"], status=1)

    def register(self, *arguments, status=0):
        return daicho("register", *arguments, "--home", self.node.home, status=status)

    def test_events_are_listed_and_counted_without_persons(self):
        size = self.node.status()["size"]
        listed = self.register("list", "--json", "--agency", "gunma-boe")
        self.assertEqual([line.get("refusal", line["found"]) for line in listed.lines()], [1, 1, 0, "field"])
        self.assertNotIn(self.people[0]["handle"], listed.out)
        self.assertEqual(self.register("list", "--json", "--agency", "gunma-tax").out, "")
        self.assertEqual(self.register("list").out.count("提供 gunma-boe"), 4)
        out = self.directory / "report.csv"
        self.register("statistics", "--from", "2020-01", "--to", "2120-12", "--out", out)
        with open(out, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(sum(int(row["照会"]) for row in rows), 3)
        self.assertEqual(sum(int(row["該当"]) for row in rows), 2)
        self.assertEqual(sum(int(row["拒否した照会"]) for row in rows), 1)
        self.assertEqual({row["方法"] for row in rows}, {"電気通信回線"})
        paper = self.directory / "report.pdf"
        self.register("statistics", "--from", "2020-01", "--to", "2120-12", "--out", paper)
        text = subprocess.run(["pdftotext", "-layout", paper, "-"], capture_output=True, text=True, check=True).stdout
        for phrase in ("提供状況報告書", "群馬県知事", "gunma-boe", "30-15-2/6-3", "却下"):
            self.assertIn(phrase, "".join(text.split()))
        self.register("statistics", "--from", "2026-04-01", "--to", "2027-03", status=2)
        self.assertEqual(self.node.status()["size"], size, "nobody was read")

    def test_what_was_provided_of_one_resident_is_read_under_record(self):
        size = self.node.status()["size"]
        person = ["--resident-code", self.people[0]["resident_code"]]
        self.register("list", *person, status=2)
        shown = self.register("list", "--json", *person, "--operator", "op1", "--duty", "admin").lines()
        self.assertEqual([line["fields"] for line in shown][1], ["name", "birth"])
        self.assertEqual(len(shown), 2)
        self.assertEqual(self.node.status()["size"], size + 1)
        nobody = self.register("list", "--json", "--handle", self.people[1]["handle"], "--operator", "op1", "--duty", "admin")
        self.assertEqual(nobody.out, "")
        self.assertEqual(self.node.status()["size"], size + 2)
        self.register("list", *person, "--operator", "op1", "--duty", "5-99", status=4)

    def test_every_answer_is_found_as_it_was_given_while_the_node_runs(self):
        said = json.loads(daicho("audit", "reexecute", "--json", "--home", self.node.home).out)
        self.assertEqual((said["verdict"], said["events"], said["answers"], said["unjudged"]), ("good", 4, 3, 0))
        self.assertEqual((said["deliveries"], said["warnings"]), (4, []))
        again = daicho("audit", "reexecute", "--home", self.node.home, "--dir", self.directory / "kept")
        self.assertIn("指摘はありません", again.out)
        daicho("audit", "reexecute", "--home", self.node.home, "--dir", self.directory / "kept")
        self.assertEqual(list(self.node.home.glob("reexecution-*")), [])

    def test_an_auditors_replay_and_the_running_node_are_the_same(self):
        last, out = self.node.status()["size"] - 1, self.directory / "replay"
        daicho("audit", "replay", "--home", self.node.home, "--position", last, "--out", out)
        told = daicho("audit", "diff", "--json", out, self.node.home)
        said = json.loads(told.out)
        self.assertTrue(said["same"])
        self.assertEqual(said["b"]["content"], self.node.status()["record_file"]["digest"])
        earlier = self.directory / "earlier"
        daicho("audit", "replay", "--home", self.node.home, "--position", last // 2, "--out", earlier)
        self.assertIn("同じ状態です", daicho("audit", "diff", self.node.home, earlier).out)
        state = json.loads((earlier / "state.json").read_text())
        state["digest"] = "0" * 64
        (earlier / "state.json").write_text(json.dumps(state))
        self.assertIn("示された照合値と異なります", daicho("audit", "diff", earlier, out, status=1).out)
        daicho("audit", "diff", earlier, self.directory, status=2)
        self.node.stop()
        self.assertIn("同じ状態です", daicho("audit", "diff", out, self.node.home).out)
        self.node.start()


if __name__ == "__main__":
    unittest.main()
