"""Keys change while everything runs: a municipality's, the ledger's own, an operator's. Method: the same notices go
into an undisturbed ledger and into one whose keys rotate between and under the sendings; both must come to the same
record file. Then keys are revoked, and what is refused must be refused with its rule.
On the local log here; test_keys_on_kafka.py tells the same on Kafka."""

import concurrent.futures
import json
import threading
import unittest

from daicho_node import (Node, Notices, daicho, notice, notice_file, resident_code, temporary_directory,
                         wait_until)

MAEBASHI, TAKASAKI = "102016", "102024"


def keys_of(node, use, holder=""):
    return [key for key in json.loads(daicho("key", "list", "--json", "--home", node.home).out)
            if key["use"] == use and key["holder"] == holder]


def rotate_issuer(node, gateway):
    if (gateway.home / "keys/issuer.next.key").exists():
        return  # it has not sent anything since the last
    request = json.loads(daicho("gateway", "rotate", "--json", "--home", gateway.home).out)["request"]
    daicho("issuer", "rotate", "--home", node.home, "--request", request)


def rotate_ledger(node, use):
    wait_until("the intake key before is destroyed", lambda: not (node.home / "keys/intake.old.key").exists())
    daicho("key", "rotate", "--home", node.home, "--use", use, "--reason", "by plan")


class Keys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = cls.enterClassContext(temporary_directory())

    def log(self):
        return None

    def found(self, name, issuers):
        return self.enterContext(Node.found(self.directory / (type(self).__name__ + name), self.log(), issuers))

    def test_rotations_under_load_change_nothing_of_the_record_file(self):
        notices = Notices(self.directory / "notices", 300, 1)
        undisturbed = self.found("undisturbed", notices.issuers)
        undisturbed.send_all(notices)
        expected = undisturbed.content()
        undisturbed.stop()

        node = self.found("rotated", notices.issuers)
        done = threading.Event()

        def rotate():
            rounds = 0
            while not done.is_set() or rounds < 2:
                rotate_ledger(node, "intake")
                rotate_ledger(node, "sequencer")
                rotate_issuer(node, node.gateways[notices.issuers[rounds % 3]])
                rounds += 1
                done.wait(1)
            return rounds

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            rotating = pool.submit(rotate)
            try:
                node.send_all(notices, at_once=3)
            finally:
                done.set()
            rounds = rotating.result()
        self.assertEqual(node.content(), expected)
        self.assertEqual(len(keys_of(node, "intake")), rounds + 1)
        self.assertEqual(len(keys_of(node, "sequencer")), rounds + 1)
        self.assertEqual(len({key["key_id"] for key in keys_of(node, "sequencer")}), rounds + 1)
        node.stop()
        self.assertEqual(node.rebuild()["digest"], expected["digest"])  # replayed with every key
        node.start()

    def send(self, node, issuer, sequence, number, how="send"):
        path = self.directory / f"{type(self).__name__}{issuer}-{sequence}.ndjson"
        path.write_bytes(notice_file(issuer, sequence, [notice(number, issuer)]))
        return getattr(node.gateways[issuer], how)(path)

    def test_a_gateway_switches_once_the_ledger_has_its_key(self):
        node = self.found("switch", [MAEBASHI])
        gateway = node.gateways[MAEBASHI]
        self.send(node, MAEBASHI, 1, 1)
        request = json.loads(daicho("gateway", "rotate", "--json", "--home", gateway.home).out)["request"]
        self.send(node, MAEBASHI, 2, 2)
        self.assertTrue((gateway.home / "keys/issuer.next.key").exists(), "not admitted yet")
        daicho("issuer", "rotate", "--home", node.home, "--request", request)
        self.send(node, MAEBASHI, 3, 3)
        self.assertFalse((gateway.home / "keys/issuer.next.key").exists())
        self.assertEqual((gateway.home / "issuer.pub").read_text().strip(),
                         keys_of(node, "issuer", MAEBASHI)[-1]["public_key"])
        again = daicho("issuer", "rotate", "--home", node.home, "--request", request, status=2)
        self.assertIn("another key", again.err)

    def test_a_switch_that_a_crash_cut_short_is_finished(self):
        node = self.found("cut", [MAEBASHI])
        gateway = node.gateways[MAEBASHI]
        rotate_issuer(node, gateway)
        key, next_key = gateway.home / "keys/issuer.key", gateway.home / "keys/issuer.next.key"
        key.write_bytes(next_key.read_bytes())  # and killed before the other was removed
        self.send(node, MAEBASHI, 1, 1)
        request = json.loads(daicho("gateway", "rotate", "--json", "--home", gateway.home).out)["request"]
        self.assertNotEqual(key.read_bytes(), next_key.read_bytes(), "a key is asked for that is in force already")
        daicho("issuer", "rotate", "--home", node.home, "--request", request)
        self.send(node, MAEBASHI, 2, 2)
        self.assertFalse(next_key.exists())

    def test_a_revoked_issuer_is_refused_until_it_is_added_again(self):
        node = self.found("revoked", [MAEBASHI])
        gateway = node.gateways[MAEBASHI]
        self.send(node, MAEBASHI, 1, 1)
        daicho("issuer", "revoke", "--home", node.home, "--issuer", MAEBASHI, "--reason", "lost", "--leaked-from", "3")
        self.assertEqual([e["rule"] for e in self.send(node, MAEBASHI, 2, 2, "reject")], ["revoked"])
        self.assertEqual(keys_of(node, "issuer", MAEBASHI)[-1]["leaked_from"], 3)
        daicho("issuer", "revoke", "--home", node.home, "--issuer", MAEBASHI, "--reason", "lost", status=2)
        daicho("issuer", "add", "--home", node.home, "--issuer", MAEBASHI, "--public-key", gateway.public_key, status=2)
        fresh = self.directory / f"{type(self).__name__}fresh.key"
        public = self.directory / f"{type(self).__name__}fresh.pub"
        public.write_text(daicho("operator", "keygen", "--out", fresh).out)
        daicho("issuer", "add", "--home", node.home, "--issuer", MAEBASHI, "--public-key", public)
        (gateway.home / "keys/issuer.key").write_bytes(fresh.read_bytes())
        self.send(node, MAEBASHI, 2, 2)

    def test_the_nodes_own_roles_get_new_keys_while_it_serves(self):
        node = self.found("roles", [MAEBASHI])
        known = self.directory / f"{type(self).__name__}known.pub.json"
        known.write_bytes((node.home / "ledger.pub.json").read_bytes())
        self.send(node, MAEBASHI, 1, 1)
        node.catch_up()
        node.record("--resident-code", resident_code(1))  # its submitter has the old key at hand
        for role in ("registrar", "records", "provider", "disclosure", "retention"):
            old = (node.home / f"keys/{role}.key").read_bytes()
            daicho("key", "rotate", "--home", node.home, "--use", role, "--reason", "by plan")
            self.assertNotEqual((node.home / f"keys/{role}.key").read_bytes(), old)
            self.assertEqual(len(keys_of(node, "issuer", f"100005.{role}")), 2)
        for _ in range(2):
            node.record("--resident-code", resident_code(1))
            daicho("key", "rotate", "--home", node.home, "--use", "registrar")
            node.stop()
            node.start()
        self.send(node, MAEBASHI, 2, 2)
        self.assertEqual(len(keys_of(node, "issuer", "100005.registrar")), 4)
        daicho("audit", "verify", "--home", node.home, "--ledger", known)

    def test_operators_come_act_and_go(self):
        node = self.found("operators", [MAEBASHI])
        self.send(node, MAEBASHI, 1, 1)
        node.catch_up()
        key, public = self.directory / f"{type(self).__name__}op3.key", self.directory / f"{type(self).__name__}op3.pub"
        public.write_text(daicho("operator", "keygen", "--out", key).out)
        daicho("operator", "keygen", "--out", key, status=2)
        add = ["operator", "add", "--home", node.home, "--operator", "op3", "--public-key", public, "--role",
               "representative-terminal", "--verification-id", "p3"]
        daicho(*add, "--terminal", "T-1")
        code = ["--handle", "00" * 16, "--operator-key", key]
        node.record(*code, operator="op3", status=4)
        node.record(*code, "--terminal", "T-1", operator="op3", status=1)
        daicho("operator", "revoke", "--home", node.home, "--operator", "op3")
        node.record(*code, "--terminal", "T-1", operator="op3", status=4)
        daicho("operator", "revoke", "--home", node.home, "--operator", "op3", status=2)
        daicho(*add, status=2)
        operators = json.loads(daicho("operator", "list", "--json", "--home", node.home).out)
        self.assertEqual({o["operator"]: o["active"] for o in operators}, {"op1": True, "op2": True, "op3": False})

    def test_rules_are_set_by_two(self):
        node = self.found("policy", [])
        shown = json.loads(daicho("policy", "show", "--json", "--home", node.home).out)
        rules = self.directory / f"{type(self).__name__}rules.json"
        rules.write_text(json.dumps(shown["rules"]))
        change = ["policy", "set", "--home", node.home, "--file", rules, "--operator", "op1"]
        daicho(*change, "--operator", "op2", status=2)
        rules.write_text(json.dumps({**shown["rules"], "title": "改正"}))
        daicho(*change, status=2)
        daicho(*change, "--operator", "op2")
        self.assertEqual(json.loads(daicho("policy", "show", "--json", "--home", node.home).out)["rules"]["version"], 2)
        rules.write_text(json.dumps({"no_such_rule": 1}))
        daicho(*change, "--operator", "op2", status=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
