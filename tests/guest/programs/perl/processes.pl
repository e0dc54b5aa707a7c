use strict;
use warnings;
use POSIX ();
use Socket;
$| = 1;
my $pid = fork;
if (!$pid) { exit 7 }
waitpid $pid, 0;
print $? >> 8, "\n";
print `echo backtick`;
open my $f, "-|", "seq 3" or die;
print while <$f>;
close $f;

$SIG{ALRM} = sub { print "alarm\n" };
alarm 1;
sleep 5;
print "$!\n";

pipe my $r, my $w;
if (!fork) { close $r; syswrite $w, "x" x 70000; POSIX::_exit(0) }
close $w;
my $n = 0;
while (my $count = sysread $r, my $buffer, 4096) { $n += $count }
wait;
print "$n\n";

$SIG{CHLD} = "IGNORE";
system "exit 3";
print "$?\n";
socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die;
syswrite $a, "ping";
sysread $b, my $x, 9;
print "$x\n";
exec "sh", "-c", "exit 4";
