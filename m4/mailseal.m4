dnl MS_FLAGS(VARIABLE, CFLAGS|LDFLAGS, FLAGS): adds each flag that works.
AC_DEFUN([MS_FLAGS], [
m4_foreach_w([ms_flag], [$3], [
AC_MSG_CHECKING([whether $CC takes ms_flag])
ms_save_flags="$[$2]"
$2="$[$2] -Werror ms_flag"
AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
	[AC_MSG_RESULT([yes]); $1="$[$1] ms_flag"],
	[AC_MSG_RESULT([no])])
$2="$ms_save_flags"
])])

dnl MS_LIB(NAME, DEBIAN-PACKAGE, HEADER, FUNCTION, LIBS, OTHER-LIBS)
dnl Sets NAME_LIBS, or remembers what is missing.
AC_DEFUN([MS_LIB], [
AC_MSG_CHECKING([for $3 and $4 ($2)])
ms_save_libs="$LIBS"
LIBS="$5 $6 $LIBS"
AC_LINK_IFELSE([AC_LANG_PROGRAM([
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <arpa/nameser.h>
m4_if([$1], [UNBOUND], [#include <unbound.h>])
#include <$3>
], [[void (*volatile f)(void) = (void (*)(void))$4; return f == 0;]])],
	[AC_MSG_RESULT([yes]); $1_LIBS="$5"],
	[AC_MSG_RESULT([no]); ms_missing="$ms_missing $2"
	 ms_missing_text="$ms_missing_text
  $3 ($5): apt-get install $2"])
LIBS="$ms_save_libs"
AC_SUBST([$1_LIBS])
])

AC_DEFUN([MS_LIBS_DONE], [
AS_IF([test -n "$ms_missing"],
	[AC_MSG_ERROR([missing libraries:$ms_missing_text
or all at once: apt-get install$ms_missing])])
])

dnl MS_FUZZ: libFuzzer counts the branches of every object; its main() goes
dnl into the targets alone.
AC_DEFUN([MS_FUZZ], [
AC_MSG_CHECKING([whether $CC has libFuzzer])
ms_save_flags="$CFLAGS"
CFLAGS="$CFLAGS -fsanitize=fuzzer,address,undefined"
AC_LINK_IFELSE([AC_LANG_SOURCE([
#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{ return data == NULL && size > 0; }
])],
	[AC_MSG_RESULT([yes])],
	[AC_MSG_RESULT([no])
	 AC_MSG_ERROR([--enable-fuzz needs clang with libFuzzer: apt-get install clang-14 libclang-rt-14-dev, and CC=clang-14])])
CFLAGS="$ms_save_flags"
MS_CFLAGS="$MS_CFLAGS -fsanitize=fuzzer-no-link"
FUZZ_LIBS=-fsanitize=fuzzer
])
