"""What `daicho record` answers: now, at a position, on a day known to the ledger and on a day of life,
in either calendar; and what it answers when there is nothing, or when the asker may not ask."""

import datetime
import sys
import unittest

from daicho_node import (Node, daicho, individual_number, notice, notice_file, resident_code, temporary_directory,
                         wrong_check_digit)

MAEBASHI, TAKASAKI = "102016", "102024"
JAPAN = datetime.timezone(datetime.timedelta(hours=9))


def era(day):
    """令和8年…, as a person would type it."""
    return f"令和{day.year - 2018}年{day.month}月{day.day}日"


class Record(unittest.TestCase):
    """Resident 1 was born in 前橋市, moved within it, and then to 高崎市, whose notice came first; resident
    2 died. The notices are of several days of life; the ledger learnt all of them today."""

    @classmethod
    def setUpClass(cls):
        cls.directory = cls.enterClassContext(temporary_directory())
        cls.node = cls.enterClassContext(Node.found(cls.directory, None, [MAEBASHI, TAKASAKI]))
        amend = notice(1, MAEBASHI, 2, "amend", "address_change", "2025-03-01", "2025-03-03T09:00:00+09:00")
        amend["record"]["address"]["text"] = "元総社町１番地"
        cls.born = cls.send(MAEBASHI, 1, [cls.on("2024-05-01", notice(1, MAEBASHI)),
                                          cls.on("2024-05-01", notice(2, MAEBASHI))])
        cls.moved = cls.send(MAEBASHI, 2, [cls.on("2025-03-01", amend)])
        cls.arrived = cls.send(TAKASAKI, 1, [cls.on("2025-09-01", notice(1, TAKASAKI, 4, "entry", "move_in"))])
        cls.left = cls.send(MAEBASHI, 3, [cls.on("2025-08-31", notice(1, MAEBASHI, 3, "removal", "move_out")),
                                          cls.on("2025-10-01", notice(2, MAEBASHI, 2, "removal", "death"))])
        cls.node.catch_up()
        cls.today = datetime.datetime.now(JAPAN).date()

    @staticmethod
    def on(day, changed):
        changed["changed_on"] = day
        changed["notified_at"] = f"{day}T17:00:00+09:00"
        changed["record"]["birth"] = "2024-05-01"
        return changed

    @classmethod
    def send(cls, issuer, sequence, notices):
        path = cls.directory / f"{issuer}-{sequence}.ndjson"
        path.write_bytes(notice_file(issuer, sequence, notices))
        return cls.node.gateways[issuer].send(path)[0]["positions"]

    def ask(self, *arguments, number=1, **how):
        return self.node.record("--resident-code", resident_code(number), *arguments, **how)

    def read(self, *arguments, number=1):
        (version,) = self.ask(*arguments, number=number).lines()
        return version

    def numbers(self, *arguments, number=1):
        return [version["update_number"] for version in self.ask(*arguments, number=number).lines()]

    def test_the_current_version_by_each_key(self):
        version = self.read()
        self.assertEqual((version["status"], version["issuer"], version["update_number"], version["valid_from"]),
                         ("resident", TAKASAKI, 4, "2025-09-01"))
        self.assertEqual(version["position"], self.arrived[0])
        self.assertEqual(version["record"]["address"]["municipality"], TAKASAKI)
        self.assertEqual(self.node.record("--individual-number", individual_number(1)).lines(), [version])
        self.assertEqual(self.node.record("--handle", version["handle"]).lines(), [version])

    def test_the_history_is_in_order_of_life_and_marks_the_late_removal(self):
        versions = self.ask("--history").lines()
        self.assertEqual([(v["update_number"], v["kind"], v["status"]) for v in versions],
                         [(1, "entry", "resident"), (2, "amend", "resident"), (3, "removal", "removed"),
                          (4, "entry", "resident")])
        self.assertEqual([v.get("late", False) for v in versions], [False, False, True, False])
        self.assertEqual(len({v["handle"] for v in versions}), 1)

    def test_at_a_position_the_ledger_knew_no_more_than_that(self):
        self.assertEqual(self.numbers("--position", self.born[1]), [1])
        self.assertEqual(self.numbers("--position", self.moved[0]), [2])
        self.assertEqual(self.numbers("--position", self.arrived[0]), [4])
        self.assertEqual(self.numbers("--position", self.arrived[0], "--history"), [1, 2, 4])
        self.assertEqual(self.numbers("--position", self.left[1], "--history"), [1, 2, 3, 4])
        self.assertEqual(self.ask("--position", self.born[0] - 1, status=1).out, "")
        self.assertEqual(self.ask("--position", 10**6, status=2).out, "")

    def test_on_a_day_of_life_in_either_calendar(self):
        for day, number in [("2024-05-01", 1), ("2025-02-28", 1), ("2025-03-01", 2), ("2025-09-01", 4)]:
            for written in (day, era(datetime.date.fromisoformat(day))):
                self.assertEqual(self.numbers("--on", written), [number], written)
        self.assertEqual(self.read("--on", "2025-08-31")["status"], "removed")
        self.assertEqual(self.numbers("--on", "R6.5.1"), [1])
        self.assertEqual(self.ask("--on", "2024-04-30", status=1).out, "")
        self.assertEqual(self.ask("--on", "平成31年4月30日", status=1).out, "")

    def test_as_of_a_day_in_either_calendar(self):
        self.assertEqual(self.numbers("--as-of", self.today), [4])
        self.assertEqual(self.numbers("--as-of", era(self.today), "--history"), [1, 2, 3, 4])
        self.assertEqual(self.numbers("--as-of", self.today, "--on", "令和7年3月1日"), [2])

    def test_as_of_a_day_before_the_ledger_there_is_nobody(self):
        for day in (self.today - datetime.timedelta(days=1), "2025-09-01", "昭和64年1月7日"):
            done = self.ask("--as-of", day, status=1)
            self.assertEqual(done.out, "")

    def test_a_day_that_does_not_exist_is_wrong_usage(self):
        for day in ("2026-02-29", "令和8年13月1日", "昭和64年1月8日", "yesterday"):
            self.assertEqual(self.ask("--as-of", day, status=2).out, "", day)
            self.assertEqual(self.ask("--on", day, status=2).out, "", day)
        self.ask("--as-of", self.today, "--position", 3, status=2)

    def test_who_has_died_is_removed_and_still_there(self):
        version = self.read(number=2)
        self.assertEqual((version["status"], version["reason"], version["valid_from"]), ("removed", "death", "2025-10-01"))
        self.assertNotIn("late", version)
        self.assertEqual(self.read("--on", "2025-09-30", number=2)["status"], "resident")

    def test_who_is_not_there_is_not_found(self):
        self.assertEqual(self.ask(number=9, status=1).out, "")
        self.node.record("--individual-number", individual_number(9), status=1)
        self.node.record("--handle", "00" * 16, status=1)

    def test_a_wrong_check_digit_is_wrong_usage(self):
        before = self.node.status()["size"]
        self.node.record("--resident-code", wrong_check_digit(resident_code(1)), status=2)
        self.node.record("--individual-number", wrong_check_digit(individual_number(1)), status=2)
        self.node.record("--handle", "00", status=2)
        self.node.record("--handle", "xyz", status=2)
        self.node.record(status=2)
        self.node.record("--resident-code", resident_code(1), "--handle", "00" * 16, status=2)
        self.assertEqual(self.node.status()["size"], before)

    def test_an_unknown_duty_or_operator_is_denied_and_recorded(self):
        before = self.node.status()["size"]
        self.assertEqual(self.ask(duty="99-9", status=4).out, "")
        self.assertEqual(self.ask("--operator-key", self.node.home / "operators/op2.key", status=4).out, "")
        self.assertEqual(self.ask("--operator-key", self.node.home / "operators/op2.key", operator="op9", status=4).out, "")
        self.assertEqual(self.node.status()["size"], before + 3)
        self.assertEqual(self.ask(operator="op9", status=4).out, "")  # has no key to ask with

    def test_every_reading_is_an_event_whether_it_finds_anything_or_not(self):
        before = self.node.status()["size"]
        self.ask()
        self.ask("--history")
        self.ask(number=9, status=1)
        self.assertEqual(self.node.status()["size"], before + 3)

    def test_for_people_it_prints_the_same_versions(self):
        out = daicho("record", "--home", self.node.home, "--operator", "op1", "--duty", "5-1", "--resident-code",
                     resident_code(1), "--history").out
        self.assertEqual([line[:3] for line in out.splitlines() if line.startswith("[")], ["[1]", "[2]", "[3]", "[4]"])


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
