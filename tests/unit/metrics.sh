#!/bin/bash
# SPDX-License-Identifier: MIT
# The metrics of a mount, read by Prometheus' own parser for Python; and the
# manual page has every name. The page is that of a mount with hostile names.
set -u
: "${METRICS:?}" "${MANDIR:?}"
. "$(dirname "$0")/../lib/say.sh"

page=$("$METRICS" --print) || fail "no page"
# Debian's module belongs to Debian's interpreter.
/usr/bin/python3 -c 'import prometheus_client' 2>/dev/null ||
	skip "no python3-prometheus-client"
printf '%s\n' "$page" | /usr/bin/python3 -c '
import sys
from prometheus_client.parser import text_string_to_metric_families

page = sys.stdin.buffer.read().decode("utf-8")
families = list(text_string_to_metric_families(page))
samples = {}
for family in families:
    assert family.documentation, family.name
    assert family.type in ("gauge", "counter"), family.name
    for s in family.samples:
        key = s.name, tuple(sorted(s.labels.items()))
        assert key not in samples, key
        samples[key] = s.value
        assert s.labels["source"] == "/srv/a \"b\"\\c\\x0a{d}\\xe4,\u00e4", s
        assert s.labels["mountpoint"] == "/mnt/\\", s
# None was dropped on the way.
lines = [l for l in page.splitlines() if l and not l.startswith("#")]
assert len(samples) == len(lines), (len(samples), len(lines))

def value(name, **labels):
    found = [v for (n, l), v in samples.items()
             if n == name and labels.items() <= dict(l).items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]

assert value("stillfs_session_state", state="serving") == 1
assert value("stillfs_session_frozen_timestamp_seconds") == 1700000001.005
assert value("stillfs_sessions_total", outcome="ABORTED(pin lost)") == 5
assert value("stillfs_session_bytes") == 3 * 1024 * 1024
' || fail "the parser of Prometheus does not take it"
echo "ok - Prometheus' parser reads every sample, and the names are whole"

names=$(printf '%s\n' "$page" | sed -n 's/^# HELP \([a-z_]*\) .*/\1/p')
for name in $names; do
	grep -q "^\.It Cm $name\( \|\$\)" "$MANDIR/stillfs-metrics.5" ||
		fail "stillfs-metrics(5) does not describe $name"
done
sed -n 's/^\.It Cm \(stillfs_[a-z_]*\).*/\1/p' "$MANDIR/stillfs-metrics.5" |
	while read -r name; do
		printf '%s\n' "$names" | grep -qx "$name" ||
			fail "stillfs-metrics(5) describes $name, which is not there"
	done || exit 1
echo "ok - stillfs-metrics(5) has every name, and no other"
