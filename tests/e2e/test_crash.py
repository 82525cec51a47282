"""A node that is killed at any moment loses nothing and repeats nothing. The short form of ops/chaos."""

import sys

import chaos

sys.exit(chaos.main(["--kills", "8", *sys.argv[1:]]))
