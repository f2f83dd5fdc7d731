# Keeps of what `make fuzz` found the inputs that reach code which the seeds do
# not reach: keep.sh SRC TARGET...  They become seeds, so SRC (tests/fuzz of the
# source tree) is written to.
src=$1
shift
for target in "$@"; do
	name=$(basename "$target")
	seeds=$src/seeds/$name
	[ -d "fuzz-work/$name" ] || continue
	mkdir -p "$seeds" || exit 1
	# edges alone, not how often: else there are ten times as many
	"./$target" -set_cover_merge=1 -use_counters=0 -max_len=4096 \
		-timeout=10 "$seeds" "fuzz-work/$name" \
		> "fuzz-work/$name-keep.log" 2>&1 || exit 1
	for file in "$seeds"/*; do
		base=$(basename "$file")
		[ ${#base} -ne 40 ] || mv "$file" "$seeds/$(echo "$base" |
			cut -c 1-12)" || exit 1
	done
	echo "$name: $(ls "$seeds" | wc -l) seeds"
done
