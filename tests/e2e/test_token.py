"""Keys that lie in a PKCS#11 token and nowhere else, seen from outside: the ledger's data keys and stores wrapped
there, the sequencer's and a gateway's key rotated into it. Method: SoftHSM in a temporary directory stands for the
token, a clock that is ahead carries the node past the years that notices are kept. A copy of home and log from before the erasure,
opened with the same token, is the thief's best case: it must read nothing of what has gone."""

import contextlib
import ctypes
import datetime
import json
import os
import shutil
import subprocess
import unittest

from daicho_node import Node, clock_of, daicho, individual_number, notice, notice_file, resident_code, temporary_directory

MAEBASHI, TAKASAKI = "102016", "102024"
ROLES = "sequencer,projector,records,notary,retention"
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
STAYING, LEAVING = 9_000_000, 9_100_000
LEAVING_NAME = "標的川 消子"
YEARS = 154


@contextlib.contextmanager
def years_later(years):
    """For the processes started within."""
    day = (datetime.date.today() + datetime.timedelta(days=365 * years)).isoformat()
    change = {name: value for name, value in clock_of(day).items() if os.environ.get(name) != value}
    os.environ.update(change)
    try:
        yield day
    finally:
        for name in change:
            del os.environ[name]


class Token:
    """SoftHSM reads its place from the environment, which every process started from here inherits."""

    def __init__(self, directory):
        (directory / "tokens").mkdir(parents=True)
        (directory / "softhsm2.conf").write_text(
            f"directories.tokendir = {directory / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(directory / "softhsm2.conf")
        self.pin = directory / "pin"
        self.pin.write_text("8271\n")
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "daicho", "--so-pin", "9911",
                        "--pin", "8271"], check=True, stdout=subprocess.DEVNULL)
        self.module = None

    def uri(self, name):
        return f"pkcs11:token=daicho;object={name}?module-path={MODULE}&pin-source=file:{self.pin}"

    def create(self, name):
        return daicho("key", "create-token", "--uri", self.uri(name)).out.strip()

    def open(self):
        self.module = ctypes.CDLL(MODULE)
        slots, count, self.session = (ctypes.c_ulong * 8)(), ctypes.c_ulong(8), ctypes.c_ulong()
        self.call("C_Initialize", None)
        self.call("C_GetSlotList", ctypes.c_ubyte(1), slots, ctypes.byref(count))
        self.call("C_OpenSession", ctypes.c_ulong(slots[0]), ctypes.c_ulong(4), None, None, ctypes.byref(self.session))
        self.call("C_Login", self.session, ctypes.c_ulong(1), b"8271", ctypes.c_ulong(4))

    def call(self, function, *arguments):
        answer = getattr(self.module, function)(*arguments)
        if answer != 0:
            raise OSError(f"{function}: {answer:#x}")

    def labels(self):
        """Of every object there is, as another application sees the token."""
        if self.module is None:
            self.open()
        self.call("C_FindObjectsInit", self.session, None, ctypes.c_ulong(0))
        objects, count, out = (ctypes.c_ulong * 256)(), ctypes.c_ulong(), []
        self.call("C_FindObjects", self.session, objects, ctypes.c_ulong(256), ctypes.byref(count))
        self.call("C_FindObjectsFinal", self.session)
        for each in objects[:count.value]:
            text = ctypes.create_string_buffer(256)
            label = (ctypes.c_ulong * 3)(3, ctypes.addressof(text), 256)  # CKA_LABEL
            self.call("C_GetAttributeValue", self.session, ctypes.c_ulong(each), label, ctypes.c_ulong(1))
            out.append(text.raw[:label[2]].decode())
        return sorted(out)


def moved(copy, log, to):
    """A home that was copied, together with a copy of its log."""
    settings = copy / "daicho.toml"
    settings.write_text(settings.read_text().replace(str(log), str(to)))
    (copy / "node.sock").unlink(missing_ok=True)
    return copy


class KeysInAToken(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(temporary_directory())
        self.token = Token(self.directory / "token")
        self.node = Node(self.directory, f"local:{self.directory / 'log'}")
        daicho("init", "--home", self.node.home, "--prefecture", "10", "--log", self.node.log, "--key-holder",
               self.token.uri("home"))
        self.node.start(ROLES)
        self.enterContext(self.node)
        for issuer in (MAEBASHI, TAKASAKI):
            self.node.register(issuer)

    def send(self, issuer, sequence, *notices):
        path = self.directory / f"{issuer}-{sequence}.ndjson"
        path.write_bytes(notice_file(issuer, sequence, notices))
        return self.node.gateways[issuer].send(path)

    def rotate_sequencer(self, name, status=0):
        return daicho("key", "rotate", "--home", self.node.home, "--use", "sequencer", "--token", self.token.uri(name),
                      "--reason", "into the token", status=status)

    def keys(self, use, holder=""):
        return [key["public_key"] for key in json.loads(daicho("key", "list", "--json", "--home", self.node.home).out)
                if key["use"] == use and key["holder"] == holder]

    def audited(self):
        self.node.catch_up()
        return daicho("audit", "verify", "--json", "--home", self.node.home)

    def test_the_sequencers_key_rotates_into_the_token_and_signs_there(self):
        self.send(MAEBASHI, 1, notice(1, MAEBASHI))
        self.rotate_sequencer("receipts", status=1)  # not there yet
        self.assertFalse((self.node.home / "keys/receipts.next.key").exists())
        public_key = self.token.create("receipts")
        self.assertIn("already", daicho("key", "create-token", "--uri", self.token.uri("receipts"), status=2).err)
        daicho("key", "rotate", "--home", self.node.home, "--use", "intake", "--token", self.token.uri("receipts"),
               "--reason", "wrong", status=2)
        self.rotate_sequencer("receipts")
        self.assertEqual((self.node.home / "keys/receipts.key").read_text(), self.token.uri("receipts") + "\n")
        self.assertEqual(self.keys("sequencer")[-1], public_key)
        self.assertEqual(json.loads((self.node.home / "ledger.pub.json").read_text())["sequencer_public_key"], public_key)
        self.send(MAEBASHI, 2, notice(2, MAEBASHI))
        self.send(TAKASAKI, 1, notice(3, TAKASAKI))
        self.audited()
        content = self.node.content()
        self.node.stop()
        self.node.start(ROLES)
        self.assertEqual(self.node.content(), content)
        self.send(TAKASAKI, 2, notice(4, TAKASAKI))
        self.audited()
        # And to a second key of the token, the first vouching for it there.
        second = self.token.create("receipts-2")
        self.rotate_sequencer("receipts-2")
        self.assertEqual(self.keys("sequencer")[1:], [public_key, second])
        self.send(MAEBASHI, 3, notice(5, MAEBASHI))
        self.audited()
        self.node.stop()
        pin = self.token.pin.rename(self.token.pin.with_suffix(".away"))
        self.assertEqual(daicho("status", "--home", self.node.home, status=3).out, "")
        pin.rename(self.token.pin)
        self.node.start(ROLES)

    def test_a_gateways_key_rotates_into_a_token(self):
        gateway = self.node.gateways[MAEBASHI]
        self.send(MAEBASHI, 1, notice(1, MAEBASHI))
        public_key = self.token.create("maebashi")
        rotate = ["gateway", "rotate", "--json", "--home", gateway.home, "--token"]
        request = json.loads(daicho(*rotate, self.token.uri("maebashi")).out)["request"]
        self.token.create("another")
        daicho(*rotate, self.token.uri("another"), status=2)
        daicho("issuer", "rotate", "--home", self.node.home, "--request", request)
        self.send(MAEBASHI, 2, notice(2, MAEBASHI))
        self.assertEqual((gateway.home / "keys/issuer.key").read_text(), self.token.uri("maebashi") + "\n")
        self.assertEqual(self.keys("issuer", MAEBASHI)[-1], public_key)
        self.send(MAEBASHI, 3, notice(3, MAEBASHI))
        self.audited()

    def test_what_is_erased_is_gone_from_a_full_copy_with_the_same_token(self):
        self.token.create("receipts")
        self.rotate_sequencer("receipts")
        leaving = notice(LEAVING, MAEBASHI, name=LEAVING_NAME)
        self.send(MAEBASHI, 1, leaving, notice(STAYING, MAEBASHI))
        self.send(MAEBASHI, 2, notice(LEAVING, MAEBASHI, 2, "removal", "move_out"))
        self.node.catch_up()
        self.assertIn(LEAVING_NAME, self.node.record("--resident-code", resident_code(LEAVING), "--history").out)
        self.node.stop()
        before = self.token.labels()
        (epoch,) = [label for label in before if label.startswith("home.") and "epoch" in label]
        log = self.directory / "log"
        copies = []
        for name in ("checked", "stolen"):
            shutil.copytree(log, self.directory / f"{name}-log")
            shutil.copytree(self.node.home, self.directory / name)
            copies.append(moved(self.directory / name, log, self.directory / f"{name}-log"))
        checked, stolen = copies
        self.assertFalse((stolen / "holder").exists())
        read = ["record", "--json", "--operator", "op1", "--duty", "5-1", "--history", "--individual-number",
                individual_number(LEAVING), "--home"]
        self.assertIn(LEAVING_NAME, daicho(*read, checked).out)  # the copy is whole: before the erasure it reads

        with years_later(YEARS) as today:
            self.node.start(ROLES)
            done = json.loads(daicho("retention", "run", "--json", "--home", self.node.home, "--today", today,
                                     "--operator", "op1", "--operator", "op2").out)
            self.assertEqual((done["epoch_destroyed"], done["epoch_begun"]), (1, 2))
            self.node.record("--individual-number", individual_number(LEAVING), status=1)
            self.node.record("--individual-number", individual_number(STAYING))
            self.audited()
            self.node.stop()

            after = self.token.labels()
            self.assertNotIn(epoch, after)
            # The keys of the stores as they were are gone with it: none of them opens in the copy.
            stores = {label for label in before if label.startswith("home.store-")}
            self.assertTrue(stores)
            self.assertEqual(stores & set(after), set())
            for command in (read + [stolen], ["rebuild", "--home", stolen], ["status", "--json", "--home", stolen]):
                tried = daicho(*command, status=None)
                self.assertNotEqual(tried.status, 0, command)
                self.assertNotIn(LEAVING_NAME, tried.out + tried.err)
            self.node.start(ROLES)
            self.audited()


if __name__ == "__main__":
    unittest.main(verbosity=2)
