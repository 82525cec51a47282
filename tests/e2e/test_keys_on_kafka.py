"""The stories of test_keys.py on a Kafka broker."""

import unittest

import test_keys
from daicho_node import Broker


class KeysOnKafka(test_keys.Keys):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.broker = cls.enterClassContext(Broker(cls.directory / "kafka"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
