"""Reads what bench/search measured and prints the ratios: search_ratios.py RESULTS ASOF_JSON"""

import json
import re
import statistics
import sys


def main(results, asof):
    shapes, mixes, stages, different, asked = {}, {}, {}, 0, 0
    for line in open(results):
        fields = dict(re.findall(r"(\S+?)=(\S+)", line))
        side = fields.get("side")
        if "different" in fields:
            different += int(fields["different"])
            asked += int(fields["asked"])
        elif fields.get("shape") == "mix":
            mixes.setdefault(side, []).append(fields)
        elif "shape" in fields:
            shapes[side, fields["shape"]] = fields
        elif "stage" in fields:
            stages[side, fields["stage"]] = fields

    def mix(side, what):
        return statistics.median(float(fields[what]) for fields in mixes[side])

    print()
    print(f"{asked:,} questions, {different} answered with other rows")
    print("p50 / p99 µs      PostgreSQL        Daichō, socket    Daichō, in process")
    for shape in [f"S{n}" for n in range(1, 13)]:
        cells = [f"{shapes[side, shape]['p50_us']:>7} / {shapes[side, shape]['p99_us']:<7}"
                 for side in ("postgres", "daicho", "inside")]
        print(f"{shape:<12} {'  '.join(cells)}")
    cells = [f"{mix(side, 'p50_us'):>7.1f} / {mix(side, 'p99_us'):<7.1f}" for side in ("postgres", "daicho", "inside")]
    print(f"{'mix':<12} {'  '.join(cells)}")
    verdict("p99 of the mix, PostgreSQL : Daichō", mix("postgres", "p99_us") / mix("daicho", "p99_us"), ">=", 3)
    verdict("searches/s of the mix, Daichō : PostgreSQL", mix("daicho", "rate") / mix("postgres", "rate"), ">=", 2.5)
    print(f"processor time of a search, asker and answerer: PostgreSQL {mix('postgres', 'cpu_us'):.1f} µs,"
          f" Daichō {mix('daicho', 'cpu_us'):.1f} µs, in process {mix('inside', 'cpu_us'):.1f} µs")
    size = {side: float(stages[side, "size"]["mib"]) for side in ("postgres", "daicho")}
    verdict(f"size on disk, Daichō {size['daicho']:,.0f} MiB : PostgreSQL {size['postgres']:,.0f} MiB",
            size["daicho"] / size["postgres"], "<", 0.5)
    updates = float(stages["postgres", "update"]["rate"])
    rates = {stage: float(stages["daicho", f"update-{stage}"]["rate"]) for stage in ("gateway", "admission", "rebuild")}
    print("single changes/s in a stream: " + ", ".join(f"{stage} {rate:,.0f}" for stage, rate in rates.items()))
    # One stage after the other, although they overlap in a node.
    sent = 1 / sum(1 / rate for rate in rates.values())
    received = 1 / (1 / rates["admission"] + 1 / rates["rebuild"])
    verdict(f"durable single changes/s from the inbox on, Daichō {received:,.0f} in a stream : PostgreSQL {updates:,.0f} one"
            " at a time", received / updates, ">=", 5)
    print(f"with one gateway's own sending before it: {sent:,.0f}/s, {sent / updates:.2f} of PostgreSQL")
    alone = float(stages["daicho", "update-alone"]["rate"])
    print(f"one change at a time, until it can be found: {alone:,.0f}/s, {alone / updates:.2f} of PostgreSQL")
    together = {side: float(stages[side, "update-together"]["rate"]) for side in ("postgres", "daicho")}
    print(f"35 at once, each one at a time: PostgreSQL {together['postgres']:,.0f}/s, Daichō until it can be found"
          f" {together['daicho']:,.0f}/s, {together['daicho'] / together['postgres']:.2f} of PostgreSQL")
    node = stages["node", "search"]
    print(f"through a node, signed and in the ledger before the answer: p50 {float(node['p50_us']) / 1000:.1f} ms,"
          f" p99 {float(node['p99_us']) / 1000:.1f} ms")
    verdict("p99 while changes are applied : quiet, in process",
            float(stages["inside", "applying"]["p99_us"]) / float(stages["inside", "quiet"]["p99_us"]), "<=", 2)
    broad = stages["inside", "too-broad"]
    verdict("ms until a search that would cost too much says so, the longest", float(broad["max_us"]) / 1000, "<=", 100)
    median = {}
    for benchmark in json.load(open(asof))["benchmarks"]:
        if benchmark["aggregate_name"] == "median":
            median[benchmark["run_name"]] = benchmark["real_time"]
    for versions in (1, 20):
        now, past = median[f"SearchNow/{versions}"], median[f"SearchAsOf/{versions}"]
        verdict(f"as of a past position {past:,.1f} µs : now {now:,.1f} µs, {versions} versions each", past / now, "<=", 1.5)


def verdict(what, ratio, how, limit):
    reached = {">=": ratio >= limit, "<": ratio < limit, "<=": ratio <= limit}[how]
    print(f"{what}: {ratio:.2f} ({how} {limit}: {'reached' if reached else 'MISSED'})")


main(*sys.argv[1:])
