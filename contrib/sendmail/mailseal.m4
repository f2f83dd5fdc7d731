dnl mailseal: add these lines to sendmail.mc before the MAILER lines, make
dnl sendmail.cf anew and restart.
dnl
dnl F=T: mailseal is down, the sender tries again (without it mail passes
dnl unchecked).  E must be longer than resolver.message_timeout of
dnl mailseal.conf.
INPUT_MAIL_FILTER(`mailseal', `S=local:/run/mailseal/milter.sock, F=T, T=C:10s;S:10s;R:10s;E:60s')dnl
dnl
dnl A name for a listener whose clients do not log in; in mailseal.conf:
dnl   listeners = ( { name = "submission"; direction = "outbound"; } );
DAEMON_OPTIONS(`Name=submission, Port=587, M=Ea')dnl
