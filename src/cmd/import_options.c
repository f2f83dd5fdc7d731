/*
 * What becomes of each option of opendkim.conf(5) of OpenDKIM 2.11 and
 * opendmarc.conf(5) of OpenDMARC 1.4: the only place where they are listed.
 * tests/cmd/test_import.py compares the names with the manual pages.
 */
#include "cmd/import.h"

#define COUNT(v) (sizeof(v) / sizeof((v)[0]))

#define TAKEN(name, type, map)                                                 \
	{                                                                      \
		name, IMPORT_##type, IMPORT_TAKEN, map, NULL                   \
	}
#define UNNEEDED(name, type, text)                                             \
	{                                                                      \
		name, IMPORT_##type, IMPORT_UNNEEDED, NULL, text               \
	}
#define ABSENT(name, type, text)                                               \
	{                                                                      \
		name, IMPORT_##type, IMPORT_ABSENT, NULL, text                 \
	}

#define BY_SYSTEMD    "systemd starts the daemon again and has its process id"
#define NO_LDAP	      "no directory is asked"
#define NO_LUA	      "no Lua is run; see \"rules\" in mailseal.conf(5)"
#define NO_REPORT     "reports on single failures are not sent"
#define NO_RESIGN     "mail that goes on is sealed with ARC; see arc.seal"
#define NO_VBR	      "VBR (RFC 5518) is not done"
#define NO_FRAGMENT   "l= is not used: anybody could add to a signed body"
#define FOR_TESTS     "for tests alone; see mailseal verify"
#define BY_JOURNAL    "see mailseal explain and mailseal shadow"
#define NO_FIELD      "no field with name and version is added"
#define ALWAYS_LOGGED "one line is logged for each message, with all results"

/* clang-format off */
const struct import_option import_dkim_options[] = {
	UNNEEDED("AllowSHA1Only", BOOLEAN, "SHA-256 is always there"),
	UNNEEDED("AlwaysAddARHeader", BOOLEAN, "it is always added"),
	ABSENT("ATPSDomains", STRING, "ATPS (RFC 6541) is not done"),
	ABSENT("ATPSHashAlgorithm", STRING, "ATPS (RFC 6541) is not done"),
	TAKEN("AuthservID", STRING, import_authserv_id),
	ABSENT("AuthservIDWithJobID", BOOLEAN, "the name is the same for all "
	       "messages; the log has the queue ID"),
	UNNEEDED("AutoRestart", BOOLEAN, BY_SYSTEMD),
	UNNEEDED("AutoRestartCount", INTEGER, BY_SYSTEMD),
	UNNEEDED("AutoRestartRate", STRING, BY_SYSTEMD),
	UNNEEDED("Background", BOOLEAN, "mailseald decides by its option -f"),
	TAKEN("BaseDirectory", STRING, import_base),
	ABSENT("BodyLengthDB", STRING, NO_FRAGMENT),
	ABSENT("BogusKey", STRING, "a bogus key is always dkim=temperror"),
	UNNEEDED("Canonicalization", STRING, "always relaxed/relaxed here"),
	ABSENT("CaptureUnknownErrors", BOOLEAN, "see on_internal_error"),
	ABSENT("ChangeRootDirectory", STRING, "the sandbox of the systemd unit "
	       "takes its place; paths are those of the host"),
	TAKEN("ClockDrift", INTEGER, import_clock_drift),
	ABSENT("DiagnosticDirectory", STRING, BY_JOURNAL),
	ABSENT("Diagnostics", BOOLEAN, "z= is not used; " BY_JOURNAL),
	UNNEEDED("DisableCryptoInit", BOOLEAN, "that is ours to do"),
	ABSENT("DNSConnect", BOOLEAN, "TCP is used when an answer asks for "
	       "it"),
	TAKEN("DNSTimeout", INTEGER, import_dns_timeout),
	TAKEN("Domain", STRING, import_signing_part),
	ABSENT("DomainKeysCompat", BOOLEAN, "DomainKeys is history (RFC 4870)"),
	ABSENT("DontSignMailTo", STRING, "recipients do not matter; a listener "
	       "of the MTA with direction \"none\" is not signed"),
	UNNEEDED("EnableCoredumps", BOOLEAN, "systemd decides (LimitCORE)"),
	ABSENT("ExemptDomains", STRING, "anybody can write a domain into From; "
	       "see \"rules\", with client or dkim_domain"),
	UNNEEDED("ExternalIgnoreList", STRING, "it only silences a line of the "
		 "log that is not written here"),
	ABSENT("FinalPolicyScript", STRING, NO_LUA),
	UNNEEDED("FixCRLF", BOOLEAN, "always done"),
	ABSENT("IdentityHeader", STRING, "i= is set for each key (identity)"),
	ABSENT("IdentityHeaderRemove", BOOLEAN, "i= is set for each key "
	       "(identity)"),
	ABSENT("IgnoreMalformedMail", BOOLEAN, "such mail gets its results "
	       "too"),
	UNNEEDED("Include", INCLUDE, "its settings follow"),
	TAKEN("InternalHosts", STRING, import_internal_hosts),
	ABSENT("KeepAuthResults", BOOLEAN, "fields in our name from elsewhere "
	       "are always removed; see networks.trusted"),
	ABSENT("KeepTemporaryFiles", BOOLEAN, BY_JOURNAL),
	TAKEN("KeyFile", STRING, import_signing_part),
	TAKEN("KeyTable", STRING, import_signing_part),
	ABSENT("LDAPAuthMechanism", STRING, NO_LDAP),
	ABSENT("LDAPAuthName", SECRET, NO_LDAP),
	ABSENT("LDAPAuthRealm", STRING, NO_LDAP),
	ABSENT("LDAPAuthUser", SECRET, NO_LDAP),
	ABSENT("LDAPBindPassword", SECRET, NO_LDAP),
	ABSENT("LDAPBindUser", SECRET, NO_LDAP),
	ABSENT("LDAPDisableCache", BOOLEAN, NO_LDAP),
	ABSENT("LDAPKeepaliveIdle", STRING, NO_LDAP),
	ABSENT("LDAPKeepaliveInterval", STRING, NO_LDAP),
	ABSENT("LDAPKeepaliveProbes", STRING, NO_LDAP),
	ABSENT("LDAPTimeout", STRING, NO_LDAP),
	ABSENT("LDAPUseTLS", BOOLEAN, NO_LDAP),
	UNNEEDED("LogResults", BOOLEAN, ALWAYS_LOGGED),
	UNNEEDED("LogWhy", BOOLEAN, ALWAYS_LOGGED
		 "; mailseal explain has the whole story"),
	TAKEN("MacroList", STRING, import_macro_list),
	TAKEN("MaximumHeaders", INTEGER, import_max_header),
	TAKEN("MaximumSignaturesToVerify", INTEGER, import_max_signatures),
	ABSENT("MaximumSignedBytes", INTEGER, NO_FRAGMENT),
	ABSENT("MilterDebug", INTEGER, "see log.level"),
	ABSENT("Minimum", STRING, "bodies that are signed in part are not "
	       "judged by their length"),
	TAKEN("MinimumKeyBits", INTEGER, import_min_bits),
	TAKEN("Mode", STRING, import_mode),
	TAKEN("MTA", STRING, import_mta),
	ABSENT("MTACommand", STRING, NO_REPORT),
	TAKEN("MultipleSignatures", BOOLEAN, import_multiple),
	ABSENT("MustBeSigned", STRING, "fields that a signature leaves out do "
	       "not change its result; From must be signed"),
	TAKEN("Nameservers", STRING, import_nameservers),
	ABSENT("NoHeaderB", BOOLEAN, "results always name the signature"),
	TAKEN("OmitHeaders", STRING, import_sign_headers),
	TAKEN("On-BadSignature", STRING, import_on_result),
	TAKEN("On-Default", STRING, import_on_internal),
	TAKEN("On-DNSError", STRING, import_on_result),
	TAKEN("On-InternalError", STRING, import_on_internal),
	TAKEN("On-KeyNotFound", STRING, import_on_result),
	TAKEN("On-NoSignature", STRING, import_on_result),
	ABSENT("On-Security", STRING, "see on_internal_error and limits"),
	TAKEN("On-SignatureError", STRING, import_on_error),
	UNNEEDED("OversignHeaders", STRING, "From and all fields that stand "
		 "there once are oversigned"),
	TAKEN("PeerList", STRING, import_peer_list),
	UNNEEDED("PidFile", STRING, BY_SYSTEMD),
	ABSENT("POPDBFile", STRING, "use logins (SASL)"),
	ABSENT("Quarantine", BOOLEAN, "see \"rules\", with dkim = [ \"fail\" "
	       "], and dmarc.disposition"),
	UNNEEDED("QueryCache", BOOLEAN, "there is one; see "
		 "resolver.cache_size"),
	ABSENT("RedirectFailuresTo", STRING, "mail that fails may be held or "
	       "tagged; see dmarc.quarantine"),
	UNNEEDED("RemoveARAll", BOOLEAN, "all fields in our name are removed"),
	TAKEN("RemoveARFrom", STRING, import_remove_ar),
	ABSENT("RemoveOldSignatures", BOOLEAN, "signatures of others stay"),
	ABSENT("ReplaceHeaders", STRING, "see ReplaceRules"),
	ABSENT("ReplaceRules", STRING, "mail is signed as it will leave; let "
	       "the MTA rewrite addresses before its filters"),
	ABSENT("ReportAddress", STRING, NO_REPORT),
	ABSENT("ReportBccAddress", STRING, NO_REPORT),
	ABSENT("RequestReports", BOOLEAN, NO_REPORT),
	ABSENT("RequiredHeaders", BOOLEAN, "a missing or repeated From is "
	       "dmarc=permerror; see preflight.format for mail that leaves"),
	TAKEN("RequireSafeKeys", BOOLEAN, import_safe_keys),
	ABSENT("ResignAll", BOOLEAN, NO_RESIGN),
	ABSENT("ResignMailTo", STRING, NO_RESIGN),
	ABSENT("ResolverConfiguration", STRING, "see \"resolver\" in "
	       "mailseal.conf(5)"),
	ABSENT("ResolverTracing", BOOLEAN, "mailseal spf and mailseal dmarc "
	       "have --trace"),
	ABSENT("ScreenPolicyScript", STRING, NO_LUA),
	ABSENT("SelectCanonicalizationHeader", STRING, "always "
	       "relaxed/relaxed"),
	TAKEN("Selector", STRING, import_signing_part),
	TAKEN("SenderHeaders", STRING, import_sender_headers),
	ABSENT("SenderMacro", STRING, "the author is the one in From"),
	ABSENT("SendReports", BOOLEAN, NO_REPORT),
	ABSENT("SetupPolicyScript", STRING, NO_LUA),
	UNNEEDED("SignatureAlgorithm", STRING, "that of the key file: "
		 "rsa-sha256 or ed25519-sha256"),
	TAKEN("SignatureTTL", INTEGER, import_signature_ttl),
	TAKEN("SignHeaders", STRING, import_sign_headers),
	TAKEN("SigningTable", STRING, import_signing_part),
	ABSENT("SMTPURI", STRING, NO_REPORT),
	TAKEN("Socket", STRING, import_socket),
	ABSENT("SoftStart", BOOLEAN, "no data base is asked"),
	ABSENT("SoftwareHeader", BOOLEAN, NO_FIELD),
	ABSENT("Statistics", STRING, BY_JOURNAL),
	ABSENT("StatisticsName", STRING, BY_JOURNAL),
	ABSENT("StatisticsPolicyScript", STRING, NO_LUA),
	ABSENT("StatisticsPrefix", STRING, BY_JOURNAL),
	ABSENT("StrictHeaders", BOOLEAN, "a missing or repeated From is "
	       "dmarc=permerror; see preflight.format for mail that leaves"),
	ABSENT("StrictTestMode", BOOLEAN, FOR_TESTS),
	TAKEN("SubDomains", BOOLEAN, import_subdomains),
	TAKEN("Syslog", BOOLEAN, import_syslog),
	TAKEN("SyslogFacility", STRING, import_facility),
	ABSENT("SyslogName", STRING, "the name is always mailseald"),
	UNNEEDED("SyslogSuccess", BOOLEAN, ALWAYS_LOGGED),
	UNNEEDED("TemporaryDirectory", STRING, "no temporary files are made"),
	ABSENT("TestDNSData", STRING, FOR_TESTS),
	ABSENT("TestPublicKeys", STRING, FOR_TESTS),
	TAKEN("TrustAnchorFile", STRING, import_trust_anchor),
	ABSENT("TrustSignaturesFrom", STRING, "DMARC decides which signature "
	       "counts; see dkim_domain in \"rules\""),
	TAKEN("UMask", INTEGER, import_umask),
	ABSENT("UnprotectedKey", STRING, "a key without DNSSEC counts as "
	       "others do"),
	TAKEN("UserID", STRING, import_user),
	ABSENT("VBR-Certifiers", STRING, NO_VBR),
	ABSENT("VBR-PurgeFields", STRING, NO_VBR),
	ABSENT("VBR-TrustedCertifiers", STRING, NO_VBR),
	ABSENT("VBR-TrustedCertifiersOnly", BOOLEAN, NO_VBR),
	ABSENT("VBR-Type", STRING, NO_VBR),
	ABSENT("WeakSyntaxChecks", BOOLEAN, "RFC 6376 is followed"),
	ABSENT("X-Header", BOOLEAN, NO_FIELD),
};

const struct import_option import_dmarc_options[] = {
	TAKEN("AuthservID", STRING, import_dmarc_id),
	ABSENT("AuthservIDWithJobID", BOOLEAN, "the name is the same for all "
	       "messages; the log has the queue ID"),
	UNNEEDED("AutoRestart", BOOLEAN, BY_SYSTEMD),
	UNNEEDED("AutoRestartCount", INTEGER, BY_SYSTEMD),
	UNNEEDED("AutoRestartRate", STRING, BY_SYSTEMD),
	UNNEEDED("Background", BOOLEAN, "mailseald decides by its option -f"),
	TAKEN("BaseDirectory", STRING, import_base),
	ABSENT("ChangeRootDirectory", STRING, "the sandbox of the systemd unit "
	       "takes its place; paths are those of the host"),
	ABSENT("CopyFailuresTo", STRING, "mail that fails may be held or "
	       "tagged; see dmarc.quarantine"),
	TAKEN("DomainWhitelist", STRING, import_arc_domains),
	TAKEN("DomainWhitelistFile", STRING, import_arc_domains),
	UNNEEDED("DomainWhitelistSize", INTEGER, "a rule has no such limit"),
	TAKEN("DNSTimeout", INTEGER, import_dmarc_dns_timeout),
	UNNEEDED("EnableCoredumps", BOOLEAN, "systemd decides (LimitCORE)"),
	ABSENT("FailureReports", BOOLEAN, NO_REPORT),
	ABSENT("FailureReportsBcc", STRING, NO_REPORT),
	ABSENT("FailureReportsOnNone", BOOLEAN, NO_REPORT),
	ABSENT("FailureReportsSentBy", STRING, NO_REPORT),
	ABSENT("HistoryFile", STRING, BY_JOURNAL),
	TAKEN("HoldQuarantinedMessages", BOOLEAN, import_hold),
	TAKEN("IgnoreAuthenticatedClients", BOOLEAN, import_ignore_logins),
	TAKEN("IgnoreHosts", STRING, import_ignore_hosts),
	ABSENT("IgnoreMailFrom", STRING, "anybody can write a domain into From; "
	       "see \"rules\", with client or dkim_domain"),
	ABSENT("IgnoreMailTo", STRING, "see HistoryFile"),
	ABSENT("MilterDebug", INTEGER, "see log.level"),
	UNNEEDED("PidFile", STRING, BY_SYSTEMD),
	TAKEN("PublicSuffixList", STRING, import_suffixes),
	ABSENT("RecordAllMessages", BOOLEAN, BY_JOURNAL),
	TAKEN("RejectFailures", BOOLEAN, import_reject),
	ABSENT("RejectMultiValueFrom", BOOLEAN, "each author's domain is "
	       "asked, up to four; more are dmarc=permerror"),
	ABSENT("RejectString", STRING, "the reply says what failed; "
	       "coaching.dmarc is added to it"),
	ABSENT("ReportCommand", STRING, NO_REPORT),
	ABSENT("RequiredHeaders", BOOLEAN, "a missing or repeated From is "
	       "dmarc=permerror, which dmarc.disposition takes for p=reject"),
	UNNEEDED("Socket", STRING, "one filter does it all: remove this one "
		 "from the settings of the MTA"),
	ABSENT("SoftwareHeader", BOOLEAN, NO_FIELD),
	UNNEEDED("SPFIgnoreResults", BOOLEAN, "SPF is always checked here, "
		 "and no result is read from a field"),
	TAKEN("SPFSelfValidate", BOOLEAN, import_spf_self),
	TAKEN("Syslog", BOOLEAN, import_syslog),
	TAKEN("SyslogFacility", STRING, import_facility),
	ABSENT("TestDNSData", STRING, FOR_TESTS),
	TAKEN("TrustedAuthservIDs", STRING, import_trusted_ids),
	UNNEEDED("UMask", INTEGER, "the socket is that of opendkim.conf"),
	UNNEEDED("UserID", STRING, "mailseald has a user of its own"),
};
/* clang-format on */

const size_t import_ndkim_options = COUNT(import_dkim_options);
const size_t import_ndmarc_options = COUNT(import_dmarc_options);

/* What is off there, and not to be had here, is no loss. */
static void tell_fate(struct import *im, const struct import_line *l)
{
	if (l->option->fate == IMPORT_ABSENT &&
	    l->option->type == IMPORT_BOOLEAN && l->number == 0)
		import_tell(im, l, IMPORT_UNNEEDED, "off, and so it is here");
	else
		import_tell(im, l, l->option->fate, "%s", l->option->text);
}

void import_take_over(struct import *im, const struct import_source *s)
{
	im->source = s;
	for (size_t i = 0; i < s->n && im->mistake.text == NULL; i++) {
		const struct import_line *l = &s->v[i];

		if (l->by != NULL)
			import_tell(im, l, IMPORT_UNNEEDED, "%s:%u counts",
				    import_shown(im, l->by->at.file),
				    l->by->at.line);
		else if (l->option->fate == IMPORT_TAKEN)
			l->option->map(im, l);
		else
			tell_fate(im, l);
	}
}
