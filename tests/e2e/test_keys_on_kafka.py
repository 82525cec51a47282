"""The stories of test_keys.py on a Kafka broker."""

import unittest

import test_keys
from daicho_node import OnKafka


class KeysOnKafka(OnKafka, test_keys.Keys):
    pass


if __name__ == "__main__":
    unittest.main(verbosity=2)
