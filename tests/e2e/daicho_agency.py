"""An agency (利用機関) that has nothing of Daichō but the keys that `daicho agency init` made: it signs its requests
and opens its answers with the openssl command."""

import base64
import hashlib
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import time

from daicho_node import Failed, daicho, encode

ED25519_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
REQUEST_TAG = b"daicho/request/1\n"
PROVIDE_TAG = b"daicho/provide/1\n"
UNAVAILABLE = 10  # events/result.h


def openssl(*arguments, stdin=b""):
    return subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=True).stdout


def residents_of(node, notices, count):
    """As many who live there and have an 個人番号, as `daicho record` shows them."""
    found = {}
    for file in notices.files_of(notices.issuers[0]):
        for line in file.read_text().splitlines()[1:]:
            code = json.loads(line)["resident_code"]
            person = node.record("--resident-code", code).lines()[0]
            if person["status"] == "resident" and "individual_number" in person["record"]:
                found[person["handle"]] = person
            if len(found) == count:
                return list(found.values())
    raise Failed(f"fewer than {count} residents")


def sign(key_file, message):
    """Ed25519, by a key as Daichō keeps it."""
    with tempfile.TemporaryDirectory() as directory:
        key, text = pathlib.Path(directory) / "key.der", pathlib.Path(directory) / "text"
        key.write_bytes(ED25519_PKCS8 + bytes.fromhex(key_file.read_text()))
        text.write_bytes(message)
        return openssl("pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", key, "-in", text)


class Unavailable(Exception):
    """To be asked again."""


class Agency:
    def __init__(self, node, name, recipient, *arguments):
        self.node, self.name = node, name
        self.home = pathlib.Path(node.directory) / name
        made = json.loads(daicho("agency", "init", "--json", "--home", self.home, "--agency", name, "--ledger",
                                 node.home / "ledger.pub.json").out)
        daicho("agency", "add", "--home", node.home, "--agency", name, "--name", name, "--recipient", recipient,
               "--certificate", made["certificate"], "--public-key", made["public_key"], *arguments)
        self.requests = 0

    def sign(self, message):
        return sign(self.home / "keys/signing.key", message)

    def write(self, basis, duty, lines, mode="batch", reference=None, **more):
        """A signed request; the path of it."""
        self.requests += 1
        header = {"format": "daicho-request/1", "agency": self.name, "basis": basis, "duty": duty,
                  "reference": reference or f"R8-{self.requests:04}", "count": len(lines), "mode": mode, **more}
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in [header, *lines]).encode()
        path = self.home / f"request-{self.requests}.ndjson"
        path.write_bytes(text)
        path.with_suffix(".ndjson.sig").write_text(
            self.sign(REQUEST_TAG + hashlib.sha256(text).digest()).hex() + "\n")
        return path

    def provide(self, request, *arguments, operator="op1", status=0):
        """What the prefecture's operator is told; the answer goes to `out`."""
        said = daicho("provide", "--json", "--home", self.node.home, "--request", request, "--operator", operator,
                      *arguments, status=status)
        return json.loads(said.out) if said.out else said.err

    def ask_node(self, request, out=None):
        """Like `daicho provide`, but of the running node only: what it says, and the answer to one condition. Raises
        OSError or Unavailable when it cannot be said whether it was answered."""
        digest = hashlib.sha256(request.read_bytes()).digest()
        act = digest + struct.pack(">Q", time.time_ns() // 1000) + os.urandom(16)
        signature = sign(self.node.home / "operators/op1.key", PROVIDE_TAG + act)
        provide = encode(2, str(request).encode()) + encode(3, bytes.fromhex(request.with_suffix(".ndjson.sig").read_text()))
        provide += encode(4, encode(1, b"op1") + encode(3, act) + encode(5, signature))
        provide += encode(5, str(out or "").encode())
        with self.node.connect() as connection:
            connection.socket.settimeout(120)
            fields = connection.call(encode(27, provide))
        if 1 in fields:
            if fields[1] == UNAVAILABLE:
                raise Unavailable(fields.get(2, b"").decode())
            raise Failed(f"{request}: {fields.get(2, b'').decode()}")
        return json.loads(fields[6]), fields.get(7)

    def ask_by_topic(self, request):
        """Puts a signed request on the agency's topic. Raises Unavailable when that failed."""
        done = daicho("agency", "ask", "--home", self.home, "--log", self.node.log, "--request", request, status=None)
        # 4: its topics are made by a node that serves, a moment after the agency is registered.
        if done.status in (3, 4):
            raise Unavailable(done.err)
        if done.status != 0:
            raise Failed(f"agency ask: {done.status} {done.out}{done.err}")
        return done

    def ask(self, basis, duty, condition, status=0, mode="immediate", **more):
        """One condition: what was told, and the answer's lines."""
        request = self.write(basis, duty, [{"id": "1", **condition}], mode=mode, **more)
        out = request.with_suffix(".answer")
        said = self.provide(request, "--out", out, status=status)
        return said, self.open(out) if out.exists() else None

    def ask_sealed(self, basis, duty, condition):
        """The same, not opened."""
        request = self.write(basis, duty, [{"id": "1", **condition}], mode="immediate")
        self.provide(request)

    def open(self, path):
        """Header and answers of an encrypted answer."""
        content = self.decrypt(pathlib.Path(path).read_bytes())
        return [json.loads(line) for line in content.splitlines()]

    def decrypt(self, message):
        return openssl("cms", "-decrypt", "-inform", "DER", "-inkey", self.home / "keys/encryption.pem", "-recip",
                       self.home / "agency.pem", stdin=message)

    def payload_of(self, message):
        """The Provision that the ledger must have committed to, and its salt."""
        header = json.loads(self.decrypt(message).splitlines()[0])
        return (base64.b64decode(header["provision"]) + b"\xc2\x02\x20" + hashlib.sha256(message).digest(),
                bytes.fromhex(header["salt"]))
