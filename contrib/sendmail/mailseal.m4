dnl mailseal: what sendmail.mc needs, before other INPUT_MAIL_FILTER and the
dnl MAILER lines.  `mailseal setup sendmail' prints it as it must be for your
dnl mailseal.conf.
dnl
dnl F=T: mailseald is down, the sender tries again (without it mail passes
dnl unchecked and unsigned).  R must be longer than a restart of mailseald may
dnl take (shutdown_timeout), E longer than it may wait for the DNS
dnl (resolver.message_timeout).
INPUT_MAIL_FILTER(`mailseal', `S=local:/run/mailseal/milter.sock, F=T, T=C:30s;S:30s;R:30s;E:60s')dnl
dnl
dnl A NUL must not make one message look like two (CVE-2023-51765).  Only where
dnl Sendmail knows this, as on Debian:
define(`confREJECT_NUL', `true')dnl
dnl
dnl Names for listeners; they stand in `listeners' of mailseal.conf (README.md).
dnl M=a: clients must log in.  `local' is for sendmail(1), `reinject' for what
dnl comes back from a content filter.
DAEMON_OPTIONS(`Name=submission, Port=587, M=Ea')dnl
DAEMON_OPTIONS(`Name=local, Port=10587, Addr=127.0.0.1, M=E')dnl
DAEMON_OPTIONS(`Name=reinject, Port=10025, Addr=127.0.0.1')dnl
