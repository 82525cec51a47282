"""kill -9 of the node's roles at random moments while agencies ask, online and in batches, by an operator and by their
own topics: never an answer without its event, never an event whose answer is not to be had, nothing twice.
ops/chaos --load provision runs it; test_provide_crash.py is its short form.

Whoever asks gets no answer from a node that has died, and asks the same again until there is one. In the end:

  of every request the ledger has each chunk once, and a refused one by topic once;
  an answer that was returned is the one its event speaks of, and says what the notices say;
  the agency's topic has the answer to every event, once, in the ledger's order, and each is held against the ledger;
  what was asked is answered again by the same bytes, and nothing is added to the ledger;
  `daicho audit verify` finds nothing.
"""

import collections
import json
import random
import re
import threading
import time

from chaos import UnderFire, passes
from daicho_agency import Agency, Unavailable
from daicho_node import EVERY_ROLE, Failed, Notices, daicho, wait_until

RESIDENTS = 300
ASKERS = 3
BATCH_LINES = 400
REQUESTS = 60  # of one asker and pass
ASK_SECONDS_MAX = 300
BASIS, DUTY = "30-15-2/6-3", "6-3-1"
ROLES = {"local": [EVERY_ROLE], "kafka": ["sequencer", "projector,records,provider,notary"]}
RESULTS_PER_EVENT = 63


class ProvisionPass(UnderFire):
    def __init__(self, directory, log, roles, notices, random_source):
        super().__init__(directory, log, [EVERY_ROLE], notices.issuers, random_source)
        self.node.send_all(notices)
        self.node.catch_up()
        self.agency = Agency(self.node, "gunma-boe", "prefectural-agency")
        if roles != [EVERY_ROLE]:
            self.node.stop()
            for each in roles:
                self.node.start(each)
        self.records = {}
        for issuer in notices.issuers:
            for file in notices.files_of(issuer):
                for line in file.read_text().splitlines()[1:]:
                    record = json.loads(line)["record"]
                    if "individual_number" in record:
                        self.records[record["individual_number"]] = record
        self.numbers = sorted(self.records)
        self.asked = {}  # reference -> how it was asked, and what came of it

    # -- load ---------------------------------------------------------------------------------

    def load(self):
        askers = [threading.Thread(target=self.ask_all, args=(i, random.Random(self.random.random())))
                  for i in range(ASKERS)]
        try:
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
        finally:
            self.done.set()

    def ask_all(self, asker, source):
        try:
            for i in range(REQUESTS):
                if self.failure:
                    return
                self.ask(f"{asker}-{i}", source)
        except Exception as failure:  # the main thread reports it
            self.failure = self.failure or failure

    def ask(self, reference, source):
        batch = source.random() < 0.25
        refused = source.random() < 0.1
        lines = []
        for i in range(BATCH_LINES if batch else 1):
            number = source.choice(self.numbers)
            lines.append({"id": f"{i}", "individual_number": number})
        by_topic = source.random() < 0.4
        with self.lock:
            request = self.agency.write(BASIS, "not-a-duty" if refused else DUTY, lines,
                                        mode="batch" if batch else "immediate", reference=reference)
        asked = {"request": request, "lines": lines, "refused": refused, "by_topic": by_topic, "out": None}
        self.asked[reference] = asked
        if by_topic:
            self.until_done(lambda: self.agency.ask_by_topic(request))
            return
        out = request.with_suffix(".answer") if batch else None
        asked["said"], asked["answer"] = self.until_done(lambda: self.agency.ask_node(request, out))
        asked["out"] = out

    def until_done(self, attempt):
        deadline = time.monotonic() + ASK_SECONDS_MAX
        while True:
            try:
                return attempt()
            except (OSError, Unavailable) as failure:
                if time.monotonic() > deadline or self.failure:
                    raise Failed(f"no answer: {failure}") from None
            time.sleep(0.05)

    # -- what is left -------------------------------------------------------------------------

    def check(self):
        node, agency = self.node, self.agency
        for roles in node.processes:
            node.await_ready(roles)
        wait_until("every request is answered", self.all_recorded)
        events = self.events()
        self.check_events(events)
        delivered = [event for event in events if event["method"] == "line"]
        out = agency.home / "received"
        received = wait_until("every answer is on the topic", lambda: self.receive(out, len(delivered)))
        positions = [each["position"] for each in received]
        self.same("positions on the topic", positions, [event["position"] for event in delivered])
        for reference, asked in self.asked.items():
            if not asked["refused"]:
                self.check_answer(reference, asked, out)
        size = node.status()["size"]
        for reference, asked in self.asked.items():
            if asked["by_topic"] or asked["refused"]:
                continue
            again = asked["request"].with_suffix(".again") if asked["out"] else None
            said, answer = agency.ask_node(asked["request"], again)
            self.same(reference, (said["positions"], answer), (asked["said"]["positions"], asked["answer"]))
            if again:
                self.same(reference, agency.open(again)[1:], agency.open(asked["out"])[1:])
        self.same("size after asking everything again", node.status()["size"], size)
        node.stop()
        daicho("audit", "verify", "--home", node.home)

    def events(self):
        return daicho("register", "list", "--json", "--home", self.node.home, "--agency", self.agency.name).lines()

    def all_recorded(self):
        chunks = collections.Counter(event["reference"] for event in self.events())
        return all(chunks[reference] >= self.chunks_of(asked) for reference, asked in self.asked.items())

    @staticmethod
    def chunks_of(asked):
        return 1 if asked["refused"] else -(-len(asked["lines"]) // RESULTS_PER_EVENT)

    def check_events(self, events):
        chunks = collections.defaultdict(list)
        for event in events:
            chunks[event["reference"]].append(event["chunk"])
        for reference, asked in self.asked.items():
            if asked["refused"] and not asked["by_topic"]:
                continue  # each attempt of an operator is recorded
            self.same(reference, chunks[reference], list(range(self.chunks_of(asked))))
        self.same("requests", set(chunks), set(self.asked))

    def receive(self, out, wanted):
        """All that has come since the last call and before."""
        came = daicho("agency", "receive", "--json", "--home", self.agency.home, "--log", self.node.log, "--out", out,
                      "--checkpoint", self.http()).lines()
        self.received = getattr(self, "received", []) + came
        return self.received if len(self.received) >= wanted else None

    def http(self):
        """Where checkpoints are served, by whichever process of the home."""
        for roles in self.node.processes:
            found = re.search(r"https?://[\d.:]+", self.node.words(roles))
            if found:
                return found.group(0)
        return self.node.status()["http"]

    def check_answer(self, reference, asked, out):
        answers = []
        for chunk in range(self.chunks_of(asked)):
            lines = (out / f"{reference}.{chunk}.ndjson").read_text().splitlines()
            answers += [json.loads(line) for line in lines[1:]]
        wanted = [line["individual_number"] for line in asked["lines"]]
        self.same(reference, [answer["id"] for answer in answers], [line["id"] for line in asked["lines"]])
        for number, answer in zip(wanted, answers):
            self.same(reference, answer["result"], "found")
            record = self.records[number]
            for field in ("name", "birth", "address", "individual_number"):
                self.same(f"{reference} {field}", answer["record"][field], record[field])
        if asked["out"]:
            self.same(reference, self.agency.open(asked["out"])[1:], answers)
        elif asked.get("answer"):
            self.same(reference, [json.loads(line) for line in self.agency.decrypt(asked["answer"]).splitlines()[1:]],
                      answers)

    @staticmethod
    def same(what, found, expected):
        if found != expected:
            raise Failed(f"{what}: {str(found)[:2000]}, not {str(expected)[:2000]}")


def chaos_of_provision(log, kills, seed, directory):
    """One log. Prints a line; raises Failed."""
    source = random.Random(f"{seed}/{log}/provision")
    notices = Notices(directory / "notices", RESIDENTS, 0)
    started = time.monotonic()
    done, deaths = passes(log, kills, ROLES[log], directory,
                          lambda place, address: ProvisionPass(place, address, ROLES[log], notices, source),
                          ProvisionPass.check)
    print(f"{log}: seed {seed}: {deaths} while agencies asked, {len(done)} ledgers, {sum(len(one.asked) for one in done)} "
          f"requests, each answered once and again alike, {time.monotonic() - started:.0f} s", flush=True)
