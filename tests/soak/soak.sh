# The long runs, one after another: soak.sh SRC SECONDS.  Makes the builds that
# they need in soak-work/, and prints what each of them found, as it stands in
# BENCHMARKS.md.  SECONDS: of the load with faults; the others go by it.
src=$1
seconds=$2
status=0
work=$(pwd)/soak-work
python=${PYTHON:-python3}
jobs=$(nproc)

# build NAME TARGETS CONFIGURE-OPTION...
build() {
	dir=$work/$1
	targets=$2
	shift 2
	mkdir -p "$dir"
	(cd "$dir" && { [ -e config.status ] ||
		"$src/configure" -q PYTHON="$python" "$@"; } &&
		make -s -j"$jobs" $targets) > "$dir.log" 2>&1 && return
	tail -5 "$dir.log"
	echo "not ok: the build in $dir"
	status=1
	return 1
}

# run NAME COMMAND...
run() {
	name=$1
	shift
	echo "== $name"
	if "$@"; then
		echo "ok: $name"
	else
		echo "not ok: $name"
		status=1
	fi
}

watched() {
	MAILSEAL_BUILDDIR=$work/$1 "$python" -B "$src/tests/soak/watched.py" \
		"$2" $((seconds / 4))
}

faults() {
	MAILSEAL_BUILDDIR=$work/plain "$python" -B \
		"$src/tests/soak/faults.py" "$seconds"
}

# Whole sessions and messages longer than what reads one thing.
fuzz() {
	long="tests/fuzz/fuzz_session tests/fuzz/fuzz_message"
	cd "$work/fuzz" &&
		make -s fuzz FUZZ_TIME=$((seconds / 2)) &&
		make -s fuzz FUZZ_TIME="$seconds" FUZZ_TARGETS="$long"
}

mkdir -p "$work"
build plain "mailseald mailseal" CFLAGS='-O2 -g' && {
	run "load with faults" faults
	run valgrind watched plain valgrind
}
build tsan "mailseald mailseal" --enable-tsan CFLAGS=-g &&
	run ThreadSanitizer watched tsan tsan
build fuzz all --enable-fuzz CC=clang-14 CFLAGS=-g &&
	(run fuzz fuzz; exit $status) || status=1
exit $status
