# Runs fuzz targets one after another: run.sh SRC SECONDS TARGET...
# SRC: tests/fuzz of the source tree, which is only read.  What is found goes
# to fuzz-work/ in the build tree: a corpus for each target, and inputs that
# failed (crash-..., timeout-..., oom-..., leak-...).
src=$1
seconds=$2
shift 2
if ! "./$1" -help=1 2>&1 | grep -q max_total_time; then
	echo "these targets have no libFuzzer:" \
		"configure with --enable-fuzz CC=clang-14" >&2
	exit 1
fi
status=0
for target in "$@"; do
	name=$(basename "$target")
	work=fuzz-work/$name
	mkdir -p "$work"
	set -- -max_total_time="$seconds" -max_len=4096 -timeout=10 \
		-rss_limit_mb=1024 \
		-artifact_prefix="fuzz-work/$name-"
	[ ! -e "$src/dict/$name.dict" ] || set -- "$@" \
		-dict="$src/dict/$name.dict"
	echo "== $name"
	"./$target" "$@" "$work" "$src/seeds/$name" \
		2> "fuzz-work/$name.log" || status=1
	grep -E '^#[0-9]+	DONE|ERROR|SUMMARY|not true|Test unit' \
		"fuzz-work/$name.log"
done
exit $status
