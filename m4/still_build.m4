# Compiler flags that are the same for every part of the house.

AC_DEFUN([STILL_WARNINGS], [
  AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [treat warnings as errors])],
    [], [enable_werror=no])
  STILL_CFLAGS="-std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes"
  STILL_CFLAGS="$STILL_CFLAGS -Wmissing-prototypes -Wvla -Wformat=2"
  STILL_CFLAGS="$STILL_CFLAGS -Wpointer-arith -Wwrite-strings -Wundef"
  AS_IF([test "x$enable_werror" = xyes],
    [STILL_CFLAGS="$STILL_CFLAGS -Werror"])
  AC_SUBST([STILL_CFLAGS])
])

AC_DEFUN([STILL_HARDENING], [
  AC_ARG_ENABLE([hardening],
    [AS_HELP_STRING([--disable-hardening], [leave the hardening flags out])],
    [], [enable_hardening=yes])
  STILL_LDFLAGS=
  AS_IF([test "x$enable_hardening" = xyes], [
    STILL_CFLAGS="$STILL_CFLAGS -fstack-protector-strong -fPIE"
    STILL_CFLAGS="$STILL_CFLAGS -fstack-clash-protection"
    AS_CASE([" $CFLAGS "],
      [*" -O0 "*|*"-fsanitize"*], [],
      [STILL_CFLAGS="$STILL_CFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"])
    STILL_LDFLAGS="-pie -Wl,-z,relro -Wl,-z,now"
  ])
  AC_SUBST([STILL_LDFLAGS])
])

# --with-sanitizer=address|thread
AC_DEFUN([STILL_SANITIZER], [
  AC_ARG_WITH([sanitizer],
    [AS_HELP_STRING([--with-sanitizer=KIND],
      [address (with undefined) or thread])],
    [still_sanitizer=$withval], [still_sanitizer=no])
  AS_CASE([$still_sanitizer],
    [no], [],
    [address], [
      STILL_CFLAGS="$STILL_CFLAGS -fsanitize=address,undefined"
      STILL_CFLAGS="$STILL_CFLAGS -fno-sanitize-recover=undefined"
      STILL_CFLAGS="$STILL_CFLAGS -fno-omit-frame-pointer"
      STILL_CFLAGS="$STILL_CFLAGS -U_FORTIFY_SOURCE"],
    [thread], [
      STILL_CFLAGS="$STILL_CFLAGS -fsanitize=thread -U_FORTIFY_SOURCE"
      # gcc warns that it does not understand fences there.
      AS_IF([$CC --version | grep -q clang], [],
        [STILL_CFLAGS="$STILL_CFLAGS -Wno-tsan"])],
    [AC_MSG_ERROR([--with-sanitizer takes address or thread])])
])

# STILL_ENGINE(name, pkg-config modules, text, [more]): --with-NAME=yes|no|check
# `more` is run when the modules are there; what it misses it puts into
# $still_missing.
AC_DEFUN([STILL_ENGINE], [
  m4_pushdef([UP], [m4_toupper([$1])])
  AC_ARG_WITH([$1],
    [AS_HELP_STRING([--without-$1], [leave out the engine for $3])],
    [], [with_$1=check])
  AS_IF([test "x$with_$1" != xno], [
    PKG_CHECK_MODULES(UP, [$2], [have_$1=yes], [
      have_$1=no
      AS_IF([test "x$with_$1" = xyes],
        [AC_MSG_ERROR([--with-$1 was given, but $2 was not found])])])
    still_missing=
    m4_ifval([$4], [AS_IF([test "x$have_$1" = xyes], [$4])])
    AS_IF([test -n "$still_missing"], [
      have_$1=no
      AS_IF([test "x$with_$1" = xyes],
        [AC_MSG_ERROR([--with-$1 was given, but $still_missing])])])
  ], [have_$1=no])
  AS_IF([test "x$have_$1" = xyes], [
    AC_DEFINE([WITH_]UP, [1], [Define to build the engine for $3.])
    still_engines="$still_engines $1"
  ])
  AM_CONDITIONAL([WITH_]UP, [test "x$have_$1" = xyes])
  m4_popdef([UP])
])

# The server's headers, for the checksum of a page: those that pg_config names,
# or those of any version that is installed; the algorithm is the same in all.
AC_DEFUN([STILL_PGSERVER], [
  AC_ARG_VAR([PG_CONFIG], [the pg_config of a PostgreSQL server])
  AC_PATH_PROG([PG_CONFIG], [pg_config])
  AC_MSG_CHECKING([for the headers of the PostgreSQL server])
  still_pgserver=
  for still_dir in \
      "`test -n "$PG_CONFIG" && "$PG_CONFIG" --includedir-server`" \
      /usr/include/postgresql/*/server; do
    AS_IF([test -z "$still_pgserver" &&
        test -r "$still_dir/storage/checksum_impl.h"],
      [still_pgserver=$still_dir])
  done
  AS_IF([test -n "$still_pgserver"],
    [AC_MSG_RESULT([$still_pgserver])],
    [AC_MSG_RESULT([no])
     still_missing="the PostgreSQL server's headers were not found"])
  AC_SUBST([PGSERVER_CFLAGS], ["-isystem $still_pgserver"])
])

AC_DEFUN([STILL_ENGINES_REQUIRED], [
  AS_IF([test -z "$still_engines"],
    [AC_MSG_ERROR([no engine is left to build; one must stay])])
])
