"""Who may be provided for: agencies and agreements are registered, the rules change under two operators, and `daicho
policy explain` says what would be decided and why, now and at any past position. A municipality's tax office and the
prefecture's tax department ask; the rules are those that a new ledger begins with."""

import json
import subprocess
import unittest

from daicho_node import Node, daicho, temporary_directory

MAEBASHI, TAKASAKI = "102016", "102024"
CITY = ["--agency", "maebashi-tax", "--basis", "30-13-1", "--duty", "o-city-1",
        "--key", "name", "--key", "birth", "--key", "address"]
TAX = ["--agency", "gunma-tax", "--basis", "30-15-1/5-tax", "--duty", "5-tax-1", "--key", "individual_number"]


class Policy(unittest.TestCase):
    def setUp(self):
        self.directory = self.enterContext(temporary_directory())
        self.node = self.enterContext(Node.found(self.directory))

    def ask(self, *arguments, status=0):
        return daicho("policy", "explain", "--json", "--home", self.node.home, *arguments, status=status)

    def explain(self, *arguments, status=0):
        return json.loads(self.ask(*arguments, status=status).out)

    def refused(self, reason, *arguments):
        said = self.explain(*arguments, status=1)
        self.assertEqual((said["permitted"], said["refusal"]), (False, "REFUSAL_REASON_" + reason), said)
        return said

    def register(self, agency, recipient, *arguments):
        home = self.directory / agency
        made = json.loads(daicho("agency", "init", "--json", "--home", home, "--agency", agency).out)
        daicho("agency", "add", "--home", self.node.home, "--agency", agency, "--name", agency, "--recipient", recipient,
               "--certificate", made["certificate"], "--public-key", made["public_key"], *arguments)
        return home

    def conclude(self, *arguments, operators=("op1", "op2"), status=0, municipality=MAEBASHI):
        document = self.directory / "agreement.pdf"
        document.write_bytes(b"signed and sealed")
        given = [word for operator in operators for word in ("--operator", operator)]
        return daicho("agreement", "set", "--home", self.node.home, "--agreement", "2026-1", "--municipality", municipality,
                      "--agency", "maebashi-tax", "--duty", "o-city-1", "--ordinance", "条例2条", "--concluded-on",
                      "令和8年3月20日", "--valid-from", "2026-04-01", "--document", document, *given, *arguments,
                      status=status)

    def agreements(self):
        return json.loads(daicho("agreement", "list", "--json", "--home", self.node.home).out)

    def test_a_municipality_is_provided_for_while_its_agreement_lasts(self):
        self.refused("UNKNOWN_AGENCY", *CITY)
        self.register("maebashi-tax", "municipal-agency", "--municipality", MAEBASHI)
        without = self.refused("AGREEMENT", *CITY, "--on", "2026-11-26")
        self.assertIn("協定", without["reason"])
        self.conclude(operators=("op1",), status=2)
        self.conclude("--valid-until", "2026-02-01", status=2)
        self.conclude(municipality=TAKASAKI, status=2)
        self.assertEqual(self.agreements(), [], "what is refused changes nothing")
        self.conclude()
        (agreement,) = self.agreements()
        self.assertEqual((agreement["municipality"], agreement["concluded_on"]), (MAEBASHI, "2026-03-20"))
        granted = self.explain(*CITY, "--on", "令和8年11月26日")
        self.assertEqual(granted["agreement_position"], agreement["position"])
        self.assertNotIn("individual_number", granted["fields"])
        self.refused("AGREEMENT", *CITY, "--on", "2026-03-31")
        self.conclude("--valid-until", "2027-03-31")
        self.refused("AGREEMENT", *CITY, "--on", "2027-04-01")
        self.explain(*CITY, "--on", "2027-04-01", "--position", str(agreement["position"]))
        before = self.refused("AGREEMENT", *CITY, "--on", "2026-11-26", "--position", str(agreement["position"] - 1))
        self.assertEqual(before["position"], agreement["position"] - 1)

    def test_what_was_decided_stays_decided_when_the_rules_change(self):
        self.register("gunma-tax", "department")
        granted = self.explain(*TAX)
        self.assertIn("individual_number", granted["fields"])
        self.assertNotIn("resident_code", granted["fields"])
        self.assertEqual(granted["rule"]["number_basis"], "番号法9条1項")
        rules = json.loads(daicho("policy", "show", "--json", "--home", self.node.home).out)["rules"]
        rule = next(each for each in rules["provisionRules"] if each["basis"] == "30-15-1/5-tax")
        rule["fields"] = [field for field in rule["fields"] if field != "individual_number"]
        file = self.directory / "rules.json"
        set_rules = ["policy", "set", "--home", self.node.home, "--file", file, "--operator", "op1"]
        file.write_text(json.dumps(rules))
        daicho(*set_rules, status=2)
        self.assertEqual(self.explain(*TAX)["fields"], granted["fields"])
        daicho(*set_rules, "--operator", "op2")
        narrowed = self.explain(*TAX)
        self.assertEqual(narrowed["fields"], rule["fields"])
        self.assertGreater(narrowed["policy_position"], granted["policy_position"])
        self.assertEqual(self.explain(*TAX, "--position", str(granted["position"])), granted)
        self.refused("FIELD", *TAX, "--field", "individual_number")
        rule["fields"].append("resident_code")
        file.write_text(json.dumps(rules))
        self.assertIn("住民票コード", daicho(*set_rules, "--operator", "op2", status=2).err)

    def test_an_agencys_keys_are_its_own_and_open_what_anyone_encrypts_to_it(self):
        home = self.register("gunma-tax", "department")
        daicho("agency", "init", "--home", home, "--agency", "gunma-tax", status=2)
        daicho("agency", "init", "--home", self.directory / "other", "--agency", "税務課", status=2)
        daicho("agency", "init", "--home", self.directory / "other", "--agency", "a", "--days", "0", status=2)
        for secret in ("keys/signing.key", "keys/encryption.pem"):
            self.assertEqual((home / secret).stat().st_mode & 0o777, 0o600)

        def openssl(*words, given=b""):
            return subprocess.run(["openssl", *words], input=given, check=True, capture_output=True).stdout

        certificate = home / "agency.pem"
        text = openssl("x509", "-in", certificate, "-noout", "-text").decode()
        for said in ("CN = gunma-tax", "prime256v1", "CA:FALSE", "Key Agreement"):
            self.assertIn(said, text)
        openssl("verify", "-CAfile", certificate, certificate)
        sealed = openssl("cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "DER", "-recip", certificate,
                         "-keyopt", "ecdh_kdf_md:sha256", given="渡邊󠄀".encode())
        opened = openssl("cms", "-decrypt", "-inform", "DER", "-recip", certificate, "-inkey",
                         home / "keys/encryption.pem", given=sealed)
        self.assertEqual(opened.decode(), "渡邊󠄀")

    def test_it_tells_a_person_why(self):
        self.register("gunma-tax", "department")
        said = daicho("policy", "explain", "--home", self.node.home, *TAX).out
        self.assertIn("提供できます", said)
        said = daicho("policy", "explain", "--home", self.node.home, *TAX, "--field", "resident_code", status=1).out
        self.assertIn("提供できません", said)
        self.assertIn("fields.resident_code: この根拠では提供できません", said)
        self.ask(*TAX, "--on", "2026-02-30", status=2)
        self.ask(*TAX, "--as-of", "2015-07-07", status=1)
        self.ask(*TAX, "--position", "1000000", status=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
