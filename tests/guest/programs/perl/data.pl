use strict;
use warnings;
my %h = map { $_ => $_**2 } 1 .. 5;
print join(",", map { "$_=$h{$_}" } sort keys %h), "\n";
printf "%s %s\n", "hello" =~ s/l+/L/r, sprintf("%05.1f", 3.14159);
open my $f, "<", "/etc/passwd" or die;
while (<$f>) { print if /^root/ }
open my $out, ">", "new" or die;
print $out "x\n" x 1000;
close $out;
print -s "new", "\n";
die "dead\n";
