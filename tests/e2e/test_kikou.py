"""機構への通知 and 機構照会 end to end, with a stand-in for 機構 as a process of its own: through kill -9 of either side each
update is with it once, and each acknowledgement in the ledger once; every question is answered, or closed, under record. On
the local log and on the real broker."""

import collections
import json
import random
import socket
import threading
import time
import unittest

from daicho_agency import Agency
from daicho_kikou import Kikou
from daicho_node import (Failed, Node, Notices, OnKafka, daicho, individual_number, notice, notice_file, resident_code,
                         temporary_directory, wait_until)

KILLS = 6


def rows_of(notices):
    """What the holder of a copy has when every notice has come."""
    rows = {}
    for files in notices.rounds:
        for issuer in sorted(files):
            for file in files[issuer]:
                for line in file.read_text().splitlines()[1:]:
                    told = json.loads(line)
                    code = told["resident_code"]
                    rows.pop(told.get("former_resident_code"), None)
                    if code in rows and rows[code]["update_number"] > told["update_number"]:
                        continue
                    rows[code] = {"resident_code": code, "update_number": told["update_number"],
                                  "status": "removed" if told["kind"] == "removal" else "resident",
                                  "record": told["record"]}
    return rows


def person(number, name, **changes):
    """A resident of another prefecture, as a line of a copy file."""
    record = notice(number, "102016", name=name, **changes)["record"]
    record["address"] = {"municipality": "131016", "text": "丸の内１番地"}
    return {"resident_code": resident_code(number), "update_number": 3, "status": "resident", "record": record}


class WithKikou(unittest.TestCase):
    def log(self):
        """A local one."""

    def setUp(self):
        self.directory = self.enterContext(temporary_directory())

    def await_notified(self):
        def level():
            try:
                status = self.node.status()
            except Failed:
                return False
            return status if status["roles"]["kikou"]["lag"] == 0 else None
        return wait_until("機構 has every update", level)

    def kinds(self):
        """How many entries of each kind the ledger has."""
        lines = daicho("audit", "show", "--home", self.node.home).lines()
        return collections.Counter(line["header"]["kind"] for line in lines)


class Notifying(WithKikou):
    def test_each_update_comes_once_through_kills_of_either_side(self):
        notices = Notices(self.directory / "notices", residents=400, years=1)
        self.node = self.enterContext(Node.found(self.directory, self.log(), notices.issuers))
        kikou = self.enterContext(Kikou(self.node))
        kikou.connect()
        source = random.Random(7)
        failure = []

        def send():
            try:
                for files in notices.rounds:
                    for issuer in sorted(files):
                        for file in files[issuer]:
                            done = self.node.gateways[issuer].try_send(file)
                            while done.status != 0:
                                time.sleep(0.2)
                                done = self.node.gateways[issuer].try_send(file)
            except Exception as error:  # the main thread reports it
                failure.append(error)

        sending = threading.Thread(target=send)
        sending.start()
        for kill in range(KILLS):
            time.sleep(source.uniform(0.05, 1.5))
            if kill % 2:
                kikou.kill()
                time.sleep(source.uniform(0, 1))
                kikou.start()
            else:
                self.node.kill()
                self.node.start()
        sending.join()
        self.assertEqual(failure, [])
        status = self.await_notified()
        time.sleep(1.5)
        self.assertEqual(self.node.status()["size"], status["size"], "nothing is written where there is no update")
        kikou.stop()
        said, rows = kikou.copy()
        self.assertEqual(rows, rows_of(notices))
        counted = status["record_file"]
        self.assertEqual((said["residents"], said["removed"]), (counted["residents"], counted["removed"]))
        told = self.kinds()["EVENT_KIND_KIKOU_NOTIFIED"]
        self.assertEqual(told, said["messages"], "each acknowledgement is in the ledger once")
        self.assertLess(told, counted["versions"])

    def test_out_of_reach_is_told_and_keeps_nobody_waiting(self):
        self.node = self.enterContext(Node.found(self.directory, self.log(), ["102016"]))
        self.assertEqual(self.node.status()["roles"]["kikou"]["configured"], False)
        daicho("kikou", "notify", "--home", self.node.home, status=2)
        kikou = self.enterContext(Kikou(self.node))
        kikou.connect()
        kikou.stop()
        file = self.directory / "102016-1.ndjson"
        file.write_bytes(notice_file("102016", 1, [notice(1, "102016"), notice(2, "102016")]))
        self.node.gateways["102016"].send(file)

        def lost():
            state = self.node.status()["roles"]["kikou"]
            return state if "error" in state else None
        state = wait_until("it is told", lost)
        self.assertIn("機構", state["error"])
        self.assertGreater(state["lag"], 0)
        self.assertIn("機構の障害", daicho("status", "--home", self.node.home).out)
        daicho("kikou", "notify", "--home", self.node.home, status=3)
        kikou.start()
        # At most the event of the notification itself is not looked at yet.
        self.assertLessEqual(json.loads(daicho("kikou", "notify", "--json", "--home", self.node.home).out)["lag"], 1)
        self.assertNotIn("error", self.await_notified()["roles"]["kikou"])

        # Another key than the one pinned is not believed, and settings that make no sense change nothing.
        kikou.stop()
        settings = (self.node.home / "kikou.toml").read_bytes()
        kikou.set(url="http://192.0.2.1:80", status=2)
        kikou.set(url="ftp://127.0.0.1", status=2)
        kikou.set(key=file, status=2)
        self.assertEqual((self.node.home / "kikou.toml").read_bytes(), settings)
        kikou.start()
        kikou.set(key=self.node.home / "kikou.pub")
        file.write_bytes(notice_file("102016", 2, [notice(3, "102016")]))
        self.node.gateways["102016"].send(file)
        self.assertIn("検証できません", daicho("kikou", "notify", "--home", self.node.home, status=3).err)
        kikou.set()
        self.await_notified()
        kikou.stop()
        said, rows = kikou.copy()
        self.assertEqual(set(rows), {resident_code(1), resident_code(2), resident_code(3)})


class Inquiring(WithKikou):
    def setUp(self):
        super().setUp()
        others = [person(901, "他県 太郎", birth="1970-01-01"), person(902, "同姓 花子"), person(903, "同姓 花子")]
        file = self.directory / "others.ndjson"
        header = {"format": "daicho-copy/1", "holder": "kikou", "as_of": "2026-11-20T00:00:00+09:00", "count": len(others)}
        file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [header, *others]))
        self.node = self.enterContext(Node.found(self.directory, self.log(), ["102016"]))
        self.kikou = self.enterContext(Kikou(self.node, "--others", file, "--basis", "30-9", "--basis", "30-15-2/6-3"))
        self.kikou.connect()

    def size(self):
        return self.node.status()["size"]

    def test_answers_and_refusals_are_in_the_ledger_before_they_are_shown(self):
        size = self.size()
        said = self.kikou.ask("--individual-number", individual_number(901), fields="name,birth,resident_code")
        self.assertEqual(said["record"], {"resident_code": resident_code(901), "name": "他県 太郎", "birth": "1970-01-01"})
        self.assertEqual((said["outcome"], said["status"], said["positions"]), ("found", "resident", [size, size + 1]))
        said = self.kikou.ask(name="他県", birth="昭和45年1月1日")
        self.assertEqual((said["outcome"], said["record"]["name"]), ("found", "他県 太郎"))
        self.assertEqual(self.kikou.ask(name="誰でもない", sex="male", status=1)["outcome"], "none")
        said = self.kikou.ask(name="同姓 花子", sex="male", status=1)
        self.assertEqual((said["outcome"], said["matches"]), ("multiple", 2))
        self.assertNotIn("record", said)
        self.assertEqual(self.kikou.ask(resident_code=resident_code(901), basis="x", status=4)["outcome"], "refused")
        self.assertEqual(self.size(), size + 10)

        # Not by an operator who may not: recorded, and nothing leaves.
        key, public_key = self.directory / "op3.key", self.directory / "op3.pub"
        public_key.write_text(daicho("operator", "keygen", "--out", key).out)
        daicho("operator", "add", "--home", self.node.home, "--operator", "op3", "--public-key", public_key, "--role",
               "administrator")
        size = self.size()
        self.kikou.ask("--operator-key", str(key), operator="op3", resident_code=resident_code(901), status=4)
        self.kikou.ask(resident_code=resident_code(901), duty="9-9", status=4)
        self.assertEqual(self.size(), size + 2)
        # What cannot be asked is not recorded.
        self.assertIn("検査数字", self.kikou.ask(resident_code="12345678901", status=2))
        self.assertIn("fields.shoe_size", self.kikou.ask(resident_code=resident_code(901), fields="shoe_size", status=2))
        self.assertIn("condition", self.kikou.ask(municipality="102016", status=2))
        self.kikou.ask(resident_code=resident_code(901), reference="R-1")
        self.kikou.ask(resident_code=resident_code(901), reference="R-1", status=2)
        self.assertEqual(self.size(), size + 4)
        self.assertEqual(self.kinds()["EVENT_KIND_INQUIRY_ANSWERED"], 6)

    def test_an_agency_is_told_of_residents_of_other_prefectures(self):
        file = self.directory / "102016-1.ndjson"
        file.write_bytes(notice_file("102016", 1, [notice(1, "102016")]))
        self.node.gateways["102016"].send(file)
        self.node.catch_up()
        self.await_notified()  # whose event would come in between
        boe = Agency(self.node, "gunma-boe", "prefectural-agency")
        basis, duty = "30-15-2/6-3", "6-3-1"
        there, here = {"individual_number": individual_number(901)}, {"individual_number": individual_number(1)}
        said, (header, line) = boe.ask(basis, duty, there)
        self.assertEqual(line["result"], "none", "nobody is asked unless the request says so")
        size = self.size()
        said, (header, line) = boe.ask(basis, duty, there, elsewhere=True, fields=["name", "birth"])
        self.assertEqual(line, {"id": "1", "result": "found", "elsewhere": True, "status": "resident",
                                "record": {"name": "他県 太郎", "birth": "1970-01-01"}})
        self.assertEqual(said["positions"], [size + 2, size + 2], "asked and answered before")
        said, (header, line) = boe.ask(basis, duty, here, elsewhere=True)
        self.assertNotIn("elsewhere", line)
        lines = [{"id": "1", **here}, {"id": "2", **there}, {"id": "3", "name": "同姓 花子", "sex": "male"},
                 {"id": "4", "name": "誰でもない", "sex": "male"}]
        request = boe.write(basis, duty, lines, elsewhere=True)
        boe.provide(request, "--out", request.with_suffix(".answer"))
        header, *answers = boe.open(request.with_suffix(".answer"))
        self.assertEqual([answer["result"] for answer in answers], ["found", "found", "multiple", "none"])
        self.assertEqual(answers[1]["record"]["individual_number"], individual_number(901))
        # Not where the rule does not say so, and no answer is none.
        said, answer = boe.ask("30-15-2/o-1", "o-boe-1", {"name": "他県 太郎", "birth": "1970-01-01", "sex": "male"}, elsewhere=True,
                               status=1)
        self.assertEqual(said["refusal"], "mode")
        self.kikou.stop()
        said, (header, line) = boe.ask(basis, duty, there, elsewhere=True)
        self.assertEqual((line["result"], line["reason"]), ("refused", "elsewhere"))
        judged = json.loads(daicho("audit", "reexecute", "--json", "--home", self.node.home).out)
        self.assertEqual((judged["verdict"], judged["unjudged"]), ("good", 0), judged)

    def test_without_an_answer_the_question_is_closed(self):
        self.kikou.stop()
        size = self.size()
        said = self.kikou.ask(resident_code=resident_code(901), status=3)
        self.assertEqual((said["outcome"], said["positions"]), ("unanswered", [size, size + 1]))
        # One that a crash cuts off is closed at the next start: a stand-in that takes the call and says nothing.
        with socket.create_server(("127.0.0.1", self.kikou.port)):
            asking = threading.Thread(target=lambda: self.kikou.ask(resident_code=resident_code(902), status=3))
            asking.start()
            wait_until("it is asked", lambda: self.size() == size + 3)
            self.node.kill()
            asking.join()
        self.node.start()
        wait_until("it is closed", lambda: self.size() == size + 4)
        self.assertEqual(self.kinds()["EVENT_KIND_INQUIRY_ANSWERED"], 2)
        daicho("audit", "verify", "--home", self.node.home)


class NotifyingOnKafka(OnKafka, Notifying):
    """The same on the real broker."""


if __name__ == "__main__":
    unittest.main()
