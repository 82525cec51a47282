"""An agency (利用機関) that has nothing of Daichō but the keys that `daicho agency init` made: it signs its requests
and opens its answers with the openssl command."""

import base64
import hashlib
import json
import pathlib
import subprocess

from daicho_node import Failed, daicho

ED25519_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
REQUEST_TAG = b"daicho/request/1\n"


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


class Agency:
    def __init__(self, node, name, recipient, *arguments):
        self.node, self.name = node, name
        self.home = pathlib.Path(node.directory) / name
        made = json.loads(daicho("agency", "init", "--json", "--home", self.home, "--agency", name).out)
        daicho("agency", "add", "--home", node.home, "--agency", name, "--name", name, "--recipient", recipient,
               "--certificate", made["certificate"], "--public-key", made["public_key"], *arguments)
        self.requests = 0

    def sign(self, message):
        seed = bytes.fromhex((self.home / "keys/signing.key").read_text())
        key, text = self.home / "signing.der", self.home / "to-sign"
        key.write_bytes(ED25519_PKCS8 + seed)
        text.write_bytes(message)
        return openssl("pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", key, "-in", text)

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

    def ask(self, basis, duty, condition, status=0, mode="immediate", **more):
        """One condition: what was told, and the answer's lines."""
        request = self.write(basis, duty, [{"id": "1", **condition}], mode=mode, **more)
        out = request.with_suffix(".answer")
        said = self.provide(request, "--out", out, status=status)
        return said, self.open(out) if out.exists() else None

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
