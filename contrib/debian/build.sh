#!/bin/sh
# Makes the Debian package from a tarball of `make dist`:
#
#     sh build.sh mailseal-VERSION.tar.gz FOLDER [option of dpkg-buildpackage...]
#
# Source package, .deb and .changes go to FOLDER, which must be empty or new.
# Options: -b for the .deb alone, -S for the source alone.  Tests run as part of
# it unless DEB_BUILD_OPTIONS=nocheck is in the environment.
set -eu

usage() {
	sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0" >&2
	exit 64
}

[ $# -ge 2 ] || usage
tarball=$1
folder=$2
shift 2
name=$(basename "$tarball" .tar.gz)
case $name in
mailseal-*) version=${name#mailseal-} ;;
*) usage ;;
esac

mkdir -p "$folder"
if [ -n "$(ls -A "$folder")" ]; then
	echo "$folder: is not empty; choose another folder" >&2
	exit 73
fi
cp "$tarball" "$folder/mailseal_$version.orig.tar.gz"
cd "$folder"
tar -xzf "mailseal_$version.orig.tar.gz"
cd "$name"
chmod -R u+w .
mkdir debian
(cd contrib/debian && tar -cf - --exclude=./build.sh .) | tar -xf - -C debian
exec dpkg-buildpackage -us -uc "$@"
