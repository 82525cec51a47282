"""Reads what bench/run measured and prints the ratios: ratios.py RESULTS READS_JSON"""

import json
import re
import sys


def main(results, reads):
    rates, digests, streams, plain = {}, {}, [], None
    for line in open(results):
        fields = dict(re.findall(r"(\w+)=(\S+)", line))
        if "stage" in fields:
            rates[fields["on"], fields["stage"]] = float(fields["rate"])
        elif "digest" in fields:
            digests[fields["on"]] = fields["digest"]
        elif "raw-txn" in line and "rate" in fields:
            plain = float(fields["rate"])
        elif "streams" in line and "rate" in fields:
            streams.append((float(fields["rate"]), line.strip()))
    print()
    for log in ("local", "kafka"):
        admission, raw = rates[log, "admission"], rates[log, "raw-append"]
        rebuild, read = rates[log, "rebuild"], rates[log, "raw-read"]
        print(f"{log}: admission {admission:,.0f}/s is {admission / raw:.2f} of raw append {raw:,.0f}/s;"
              f" verified rebuild {rebuild:,.0f}/s is {rebuild / read:.2f} of raw read {read:,.0f}/s")
    if plain:
        print(f"kafka: admission is {rates['kafka', 'admission'] / plain:.2f} of a plain librdkafka transactional"
              f" producer {plain:,.0f}/s")
    print(f"same digest on both logs: {digests['local'] == digests['kafka']}")
    for rate, line in streams:
        print(f"rebuild on kafka, without and with the search index, is {rates['kafka', 'rebuild-records'] / rate:.2f}"
              f" and {rates['kafka', 'rebuild'] / rate:.2f} of {line}")
    median = {}
    for benchmark in json.load(open(reads))["benchmarks"]:
        if benchmark["aggregate_name"] == "median":
            median[benchmark["run_name"]] = benchmark["real_time"]
    for versions in (1, 50):
        now, past = median[f"ReadNow/{versions}"], median[f"ReadAsOf/{versions}"]
        print(f"reading as of a position, {versions} versions each: {past / now:.2f} of reading now"
              f" ({past:,.0f} ns, {now:,.0f} ns)")


main(*sys.argv[1:])
