# ARC by Mail::DKIM.  The message is standard input.
#   perl arc.pl ZONE verify                          prints the result
#   perl arc.pl ZONE sign KEY DOMAIN SELECTOR CHAIN  prints the message
# KEY: a file with a traditional RSA key in base64, without the PEM lines.
# ZONE: lines of a name and its TXT record.
use strict;
use warnings;
use Mail::DKIM::ARC::Signer;
use Mail::DKIM::ARC::Verifier;
use Mail::DKIM::DNS;
use Net::DNS;

my ($table, $what, $key, $domain, $selector, $chain) = @ARGV;
my %zone;
open(my $f, '<', $table) or die "$table: $!";
while (<$f>) {
	chomp;
	my ($name, $text) = split / /, $_, 2;
	$zone{lc $name} = $text;
}
{
	no warnings 'redefine';
	*Mail::DKIM::DNS::query = sub {
		my ($name, $type) = @_;
		my $text = $zone{lc $name};
		unless ($type eq 'TXT' && defined $text) {
			$@ = 'NXDOMAIN';
			return ();
		}
		return Net::DNS::RR->new(name => $name, type => 'TXT',
			txtdata => [$text =~ /(.{1,250})/g]);
	};
}
local $/;
my $message = <STDIN>;
my $o = $what eq 'verify' ? Mail::DKIM::ARC::Verifier->new
	: Mail::DKIM::ARC::Signer->new(Algorithm => 'rsa-sha256',
		Chain => $chain, Domain => $domain, SrvId => $domain,
		Selector => $selector, KeyFile => $key,
		Headers => 'from:to:subject');
$o->PRINT($message);
$o->CLOSE;
if ($what eq 'verify') {
	print $o->result, "\n";
} else {
	die $o->result . "\n" unless $o->result eq 'sealed';
	print join("\r\n", $o->as_strings), "\r\n", $message;
}
