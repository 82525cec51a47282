"""gateway watch sends what appears in a spool, one answer beside each file, and outlives its node."""

import json
import os
import pathlib
import sys
import unittest

from daicho_node import Failed, Node, notice, notice_file, stop_process, temporary_directory, wait_until

ISSUER = "102016"


class Watch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = cls.enterClassContext(temporary_directory())

    def setUp(self):
        directory = self.directory / self._testMethodName
        self.node = self.enterContext(Node.found(directory, None, [ISSUER]))
        self.gateway = self.node.gateways[ISSUER]
        self.spool = directory / "spool"
        self.words = directory / "watch.log"
        self.sequence = 0
        self.watcher = self.gateway.watch(self.spool, self.words)
        self.addCleanup(self.end_watch)
        wait_until("the spool's folders", lambda: (self.spool / "rejected").is_dir())

    def end_watch(self):
        if self.watcher.poll() is None:
            self.assertEqual(stop_process(self.watcher), 0, self.words.read_text())

    def write(self, name, content):
        """As a municipality's system should: under another name, then renamed."""
        beside = self.spool / f".{name}.part"
        beside.write_bytes(content)
        beside.rename(self.spool / name)

    def next_file(self):
        self.sequence += 1
        return notice_file(ISSUER, self.sequence, [notice(self.sequence, ISSUER)])

    def answer(self, folder, name):
        """What lies beside the file once it has been moved."""
        moved = self.spool / folder / name

        def there():
            if self.watcher.poll() is not None:
                raise Failed(f"gateway watch ended with {self.watcher.returncode}: {self.words.read_text()}")
            return moved.exists()

        wait_until(f"{folder}/{name}", there, 60)
        self.assertFalse((self.spool / name).exists())
        return json.loads(pathlib.Path(f"{moved}.answer.json").read_text())

    def test_an_admitted_file_moves_to_done_with_its_positions(self):
        before = self.node.status()["size"]
        self.write("a.ndjson", self.next_file())
        answer = self.answer("done", "a.ndjson")
        self.assertEqual(answer, {"file": str(self.spool / "a.ndjson"), "outcome": "admitted",
                                  "positions": [before, before], "errors": []})

    def test_files_that_are_there_already_are_taken_in_order_of_their_names(self):
        self.end_watch()
        for name in ("3.ndjson", "1.ndjson", "2.ndjson"):
            (self.spool / name).write_bytes(
                notice_file(ISSUER, int(name[0]), [notice(int(name[0]), ISSUER)]))
        self.watcher = self.gateway.watch(self.spool, self.words)
        positions = [self.answer("done", f"{i}.ndjson")["positions"][0] for i in (1, 2, 3)]
        self.assertEqual(positions, sorted(positions))

    def test_a_refused_file_moves_to_rejected_and_the_corrected_one_is_admitted(self):
        wrong = notice(1, ISSUER)
        wrong["resident_code"] = "1"
        self.write("a.ndjson", notice_file(ISSUER, 1, [wrong]))
        answer = self.answer("rejected", "a.ndjson")
        self.assertEqual((answer["outcome"], answer["positions"]), ("rejected", []))
        self.assertEqual([(e["line"], e["field"], e["rule"]) for e in answer["errors"]], [(2, "resident_code", "format")])
        self.write("a.ndjson", self.next_file())
        self.assertEqual(self.answer("done", "a.ndjson")["outcome"], "admitted")

    def test_a_file_sent_again_gets_the_same_answer(self):
        content = self.next_file()
        self.write("a.ndjson", content)
        first = self.answer("done", "a.ndjson")
        self.write("b.ndjson", content)
        again = self.answer("done", "b.ndjson")
        self.assertEqual((again["outcome"], again["positions"]), ("already_admitted", first["positions"]))

    def test_the_node_may_restart_before_the_first_file(self):
        self.node.stop()
        self.node.start()
        self.write("a.ndjson", self.next_file())
        self.assertEqual(self.answer("done", "a.ndjson")["errors"], [])
        self.assertEqual(self.node.content()["versions"], 1)

    def test_files_wait_while_the_node_is_down_and_none_is_lost_or_repeated(self):
        for name in ("a.ndjson", "b.ndjson", "c.ndjson"):
            self.write(name, self.next_file())
            self.node.kill()
            self.write("later-" + name, self.next_file())
            self.node.start()
            for each in (name, "later-" + name):
                self.assertEqual(self.answer("done", each)["errors"], [])
        self.assertEqual(self.node.content()["versions"], 6)

    def test_a_killed_watch_goes_on_where_it_was(self):
        for number in range(5):
            self.write(f"{number}.ndjson", self.next_file())
        self.watcher.kill()
        self.watcher.wait()
        self.watcher = self.gateway.watch(self.spool, self.words)
        for number in range(5):
            self.assertEqual(self.answer("done", f"{number}.ndjson")["errors"], [])
        self.assertEqual(self.node.content()["versions"], 5)

    def test_a_file_is_left_alone_until_its_writer_has_closed_it(self):
        content = self.next_file()
        with open(self.spool / "slow.ndjson", "wb") as slow:
            slow.write(content[:100])
            slow.flush()
            self.write("other.ndjson", b"")
            self.answer("rejected", "other.ndjson")
            slow.write(content[100:])
        self.assertEqual(self.answer("done", "slow.ndjson")["outcome"], "admitted")

    def test_hidden_files_and_other_names_are_left_alone(self):
        (self.spool / ".hidden.ndjson").write_bytes(b"")
        (self.spool / "note.txt").write_bytes(b"")
        os.mkdir(self.spool / "folder.ndjson")
        self.write("a.ndjson", self.next_file())
        self.answer("done", "a.ndjson")
        self.assertEqual(sorted(os.listdir(self.spool)), [".hidden.ndjson", "done", "folder.ndjson", "note.txt", "rejected"])


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
