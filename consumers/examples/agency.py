#!/usr/bin/python3
"""Receives an agency's answers from the prefecture with nothing of Daichō installed: stock libraries, the agency's
home (daicho agency init) and the prefecture's ledger.pub.json. README.md beside this file says what to install.

For each message of the topic daicho.<prefecture>.provision.<agency> it

  1. decrypts the message with the agency's key                         openssl cms
  2. compares the answers with the record of the provision inside it    digests
  3. asks the ledger for its newest checkpoint and verifies it          Ed25519, the key in ledger.pub.json
  4. has proven that the ledger records this very answer                RFC 6962 tree, commitment
  5. prints the answers (or writes them, --out) and remembers its place
  6. acknowledges: appends a signed receipt to daicho.<prefecture>.reply.<agency>

A message that fails any check is an error: it is not printed, not acknowledged, and the program ends.
"""

import argparse
import base64
import hashlib
import json
import os
import pathlib
import ssl
import subprocess
import time
import urllib.request

from confluent_kafka import Consumer, Producer, TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from events import envelope_pb2, provision_pb2  # made of events/*.proto by protoc

TILE = 256


class Wrong(Exception):
    """What was received must not be believed."""


def check(condition, what):
    if not condition:
        raise Wrong(what)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def key_id(name, public_key):
    """C2SP signed-note: the key's name, a newline, 1 for Ed25519, the key."""
    return sha256(name.encode(), b"\n\x01", public_key)[:4]


# --- the ledger's tree, over HTTP ------------------------------------------------------------------------


class Ledger:
    """The ledger of that ledger.pub.json, as a node serves it (C2SP tlog-tiles)."""

    def __init__(self, public, url, ca_file=None):
        self.id = bytes.fromhex(public["ledger"])
        self.origin = f"daicho/{public['prefecture']}/ledger"
        self.key = bytes.fromhex(public["sequencer_public_key"])
        self.url = url.rstrip("/")
        self.tls = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
        self.size, self.root = 0, sha256()
        self.tiles = {}

    def get(self, path):
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=10, context=self.tls) as answer:
            return answer.read()

    def refresh(self):
        """Takes the newest checkpoint: lines of text, an empty line, a line per signature."""
        text, _, signatures = self.get("checkpoint").decode().partition("\n\n")
        text += "\n"
        origin, size, root, *extensions = text.splitlines()
        check(origin == self.origin and f"ledger {self.id.hex()}" in extensions, "the checkpoint is another ledger's")
        signed = False
        for line in signatures.splitlines():
            _, name, signature = line.split(" ")
            signature = base64.b64decode(signature)
            if name == origin and signature[:4] == key_id(origin, self.key):
                Ed25519PublicKey.from_public_bytes(self.key).verify(signature[4:], text.encode())  # raises
                signed = True
        check(signed, "the checkpoint is not signed by the ledger's key; is ledger.pub.json the newest?")
        self.size, self.root = int(size), base64.b64decode(root)
        self.tiles = {}

    def tile(self, level, index):
        """level: of hashes, or "entries"."""
        there = self.size >> (0 if level == "entries" else 8 * level)
        width = min(TILE, there - index * TILE)
        parts = [f"{int(part):03}" for part in f"{index:,}".split(",")]  # 1234067: x001/x234/067
        number = "/".join([f"x{part}" for part in parts[:-1]] + parts[-1:])
        path = f"tile/{level}/{number}" + (f".p/{width}" if width < TILE else "")
        if path not in self.tiles:
            self.tiles[path] = self.get(path)
        return self.tiles[path]

    def node(self, level, index):
        """Root of the 2^level leaves from index * 2^level on."""
        count = 1 << level % 8
        tile, first = divmod(index * count, TILE)
        hashes = self.tile(level // 8, tile)[32 * first:32 * (first + count)]
        row = [hashes[at:at + 32] for at in range(0, len(hashes), 32)]
        while len(row) > 1:
            row = [sha256(b"\x01", row[at], row[at + 1]) for at in range(0, len(row), 2)]
        return row[0]

    def root_of(self, begin, end, position=None, leaf_hash=None):
        """Of the leaves begin … end - 1, where the one at `position` is `leaf_hash`: RFC 6962 section 2.1."""
        inside = position is not None and begin <= position < end
        if inside and end - begin == 1:
            return leaf_hash
        width = end - begin
        if not inside and width & (width - 1) == 0:
            return self.node(width.bit_length() - 1, begin // width)
        split = begin + (1 << (width - 1).bit_length() - 1)
        return sha256(b"\x01", self.root_of(begin, split, position, leaf_hash),
                      self.root_of(split, end, position, leaf_hash))

    def leaf(self, position):
        """The entry at `position` without its content, proven to be in the checkpoint's tree."""
        deadline = time.monotonic() + 60
        while self.size <= position:  # an answer may be here a moment before the checkpoint that covers it
            check(time.monotonic() < deadline, f"no checkpoint covers position {position}")
            self.refresh()
            if self.size <= position:
                time.sleep(0.2)
        bundle = self.tile("entries", position // TILE)
        for _ in range(position % TILE):
            bundle = bundle[2 + int.from_bytes(bundle[:2], "big"):]
        leaf = bundle[2:2 + int.from_bytes(bundle[:2], "big")]
        proven = self.root_of(0, self.size, position, sha256(b"\x00", leaf))
        check(proven == self.root, f"the entry at position {position} is not in the checkpoint's tree")
        return envelope_pb2.EntryLeaf.FromString(leaf)


# --- an answer -------------------------------------------------------------------------------------------


class Agency:
    """The home that daicho agency init made."""

    def __init__(self, home):
        self.home = pathlib.Path(home)
        self.name = (self.home / "agency.toml").read_text().split('"')[1]
        self.signing = Ed25519PrivateKey.from_private_bytes(bytes.fromhex((self.home / "keys/signing.key").read_text()))

    def decrypt(self, cms):
        opened = subprocess.run(["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey",
                                 self.home / "keys/encryption.pem", "-recip", self.home / "agency.pem"],
                                input=cms, capture_output=True)
        check(opened.returncode == 0, "the message is not encrypted to this agency, or was changed")
        return opened.stdout

    def receipt(self, ledger, position, header, cms, received_at):
        receipt = provision_pb2.AgencyReceipt(
            version=1, ledger=ledger.id, agency=self.name, reference=header["reference"], chunk=header["chunk"],
            provision_position=position, delivered_digest=sha256(cms), result_count=header["count"],
            received_at=received_at).SerializeToString()
        public_key = self.signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return provision_pb2.DeliveryReceived(
            receipt=receipt, signature=self.signing.sign(b"daicho/agency-receipt/1\n" + receipt),
            key_id=key_id(self.name, public_key)).SerializeToString()


def verify(agency, ledger, position, cms):
    """The header and the answers of a message, once all is proven."""
    first, _, lines = agency.decrypt(cms).partition(b"\n")
    header = json.loads(first)
    check(header["format"] == "daicho-answer/1" and header["ledger"] == ledger.id.hex() and
          header["agency"] == agency.name, "the answer is another ledger's or agency's")
    # The record of the provision as the ledger has it: what came with the answer, and last the digest of the message
    # as it was delivered (field 40, 32 bytes).
    record = base64.b64decode(header["provision"]) + b"\xc2\x02\x20" + sha256(cms)
    provision = provision_pb2.Provision.FromString(record)
    check(provision.result_digest == sha256(lines) and provision.result_count == lines.count(b"\n") == header["count"],
          "the answers are not those of the record")
    check((provision.agency, provision.reference, provision.chunk) ==
          (agency.name, header["reference"], header["chunk"]), "the record is of another answer")
    # The ledger does not publish the record, only a commitment that nobody else can open.
    leaf = ledger.leaf(position)
    commitments = envelope_pb2.EventHeader.FromString(leaf.header).commitments
    check(leaf.position == position and
          commitments[0] == sha256(b"daicho/commitment/1\n", bytes.fromhex(header["salt"]), record),
          f"the ledger records another answer at position {position}")
    return header, lines.decode()


# --- following the topic ---------------------------------------------------------------------------------


def replace(path, text):
    """So that after a power cut there is the old file or the new one."""
    beside = path.with_name(path.name + ".new")
    with open(beside, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    beside.rename(path)


def main():
    parser = argparse.ArgumentParser(description="Receives, verifies and acknowledges the answers to an agency.")
    parser.add_argument("--home", required=True, help="made by: daicho agency init")
    parser.add_argument("--ledger", required=True, help="the prefecture's ledger.pub.json")
    parser.add_argument("--url", required=True, help="where the ledger is served, https://…")
    parser.add_argument("--ca", help="certificate authority of that address, PEM")
    parser.add_argument("--brokers", required=True, help="Kafka, HOST:PORT,…")
    parser.add_argument("--kafka-config", help="settings of librdkafka, a line NAME=VALUE each (ops/tls makes one)")
    parser.add_argument("--out", help="directory for the answers; without it they are printed")
    parser.add_argument("--once", action="store_true", help="end when everything on the topic has been received")
    options = parser.parse_args()

    agency = Agency(options.home)
    public = json.loads(pathlib.Path(options.ledger).read_text())
    ledger = Ledger(public, options.url, options.ca)
    prefix = f"daicho.{public['prefecture']}"
    settings = {"bootstrap.servers": options.brokers}
    if options.kafka_config:
        lines = pathlib.Path(options.kafka_config).read_text().splitlines()
        settings.update(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    # One partition, and our own place in it: it is stored behind the answers, never before.
    place = agency.home / "example.offset"
    offset = int(place.read_text()) if place.exists() else 0
    topic = TopicPartition(f"{prefix}.provision.{agency.name}", 0, offset)
    consumer = Consumer({**settings, "group.id": f"agency-{agency.name}", "enable.auto.commit": False,
                         "isolation.level": "read_committed", "enable.partition.eof": True})
    consumer.assign([topic])
    producer = Producer({**settings, "acks": "all", "enable.idempotence": True})

    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            if message.error().name() != "_PARTITION_EOF":
                raise Wrong(message.error().str())
            if options.once:
                return
            continue
        position, cms = int(message.key()), message.value()
        received_at = time.time_ns() // 1000
        header, lines = verify(agency, ledger, position, cms)
        if options.out:
            name = f"{header['reference']}.{header['chunk']}.{position}.ndjson"
            replace(pathlib.Path(options.out) / name, lines)
        else:
            print(f"# {header['reference']} {header['chunk'] + 1}/{header['chunk_count']}, position {position}: proven")
            print(lines, end="", flush=True)
        # A receipt that a crash makes us send twice is one to the prefecture.
        sent = []
        producer.produce(f"{prefix}.reply.{agency.name}", key=str(position).encode(),
                         value=agency.receipt(ledger, position, header, cms, received_at),
                         on_delivery=lambda error, _: sent.append(error))
        producer.flush(30)
        check(sent == [None], f"the receipt could not be sent: {sent}")
        replace(place, str(message.offset() + 1))


if __name__ == "__main__":
    main()
