"""A node that is killed while agencies ask gives no answer without its event, and every answer in the end. The short
form of ops/chaos --load provision."""

import sys

import chaos

sys.exit(chaos.main(["--load", "provision", "--kills", "6", *sys.argv[1:]]))
