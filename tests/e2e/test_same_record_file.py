"""The same notices leave the same record file: through the local log and through Kafka, whatever the
order in which municipalities send a round, and again when the record file is rebuilt from the ledger."""

import sys
import unittest

from daicho_node import Broker, Node, Notices, temporary_directory

RESIDENTS = 2_000
YEARS = 2


class SameRecordFile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = cls.enterClassContext(temporary_directory())
        cls.notices = Notices(cls.directory / "notices", RESIDENTS, YEARS)
        cls.expected = cls.load("reference", None, lambda issuers: issuers)

    @classmethod
    def load(cls, name, log, order):
        """Founds a ledger, sends everything, and returns what it amounts to, live and rebuilt."""
        with Node.found(cls.directory / name, log, cls.notices.issuers) as node:
            founded = node.catch_up()["size"]
            node.send_all(cls.notices, order)
            content, size = node.content(), node.status()["size"]
            node.stop()
            rebuilt = node.rebuild()
            node.start()
            again = node.content()
        counts = {key: rebuilt[key] for key in ("entries", "digest")}
        return {"notices": size - founded, "content": content, "again": again, "rebuilt": counts}

    def check(self, loaded):
        self.assertEqual(loaded["notices"], self.notices.final["notices"])
        self.assertEqual(loaded["content"], self.expected["content"])
        self.assertEqual(loaded["again"], loaded["content"])
        self.assertEqual(loaded["rebuilt"], self.expected["rebuilt"])

    def test_the_counts_are_those_the_notices_were_made_for(self):
        content, final = self.expected["content"], self.notices.final
        self.assertEqual((content["residents"], content["removed"]), (final["residents"], final["removed"]))
        self.assertEqual((content["versions"], content["awaiting_removal"]), (final["notices"], 0))
        self.assertEqual(self.expected["rebuilt"]["digest"], content["digest"])
        self.check(self.expected)

    def test_another_order_of_issuers_changes_nothing(self):
        self.check(self.load("reversed", None, lambda issuers: issuers[::-1]))

    def test_kafka_keeps_what_the_local_log_keeps_in_either_order(self):
        with Broker(self.directory / "kafka") as broker:
            self.check(self.load("kafka", broker.log, lambda issuers: issuers))
            broker.reset()
            self.check(self.load("kafka-reversed", broker.log, lambda issuers: issuers[::-1]))


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
