#!/bin/sh
# TAP: the manual pages are clean for mandoc, and each sentence has its line.
src=${MAILSEAL_SRCDIR:-.}
if ! command -v mandoc >/dev/null 2>&1; then
	echo "1..0 # SKIP mandoc is not installed"
	exit 0
fi
n=0
failed=0
result() { # status name
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		failed=1
	fi
}
for page in mailseald.8 mailseal.conf.5 mailseal.1 mailseal-metrics.7; do
	out=$(mandoc -Tlint -W warning "$src/doc/$page" 2>&1)
	status=$?
	[ -z "$out" ] || printf '%s\n' "$out" | sed 's/^/# /'
	result "$status" "$page: mandoc -Tlint"
	out=$(grep -nE '^[^.].*[a-z)][.?!] +[A-Z]' "$src/doc/$page")
	[ -z "$out" ] || printf '%s\n' "$out" | sed 's/^/# /'
	[ -z "$out" ]
	result $? "$page: one sentence per line"
	[ "$(mandoc -Tutf8 "$src/doc/$page" | wc -l)" -gt 40 ]
	result $? "$page: has a text"
done
echo "1..$n"
exit "$failed"
