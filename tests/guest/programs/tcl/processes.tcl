# Files, exec, pipelines, events, threads of timers and channels in Tcl.
proc attempt {body} { list [catch {uplevel 1 $body} result options] $result [lindex [dict get $options -errorcode] 0] }

puts [exec echo hello]
puts [exec seq 20 | sort -r | head -3]
puts [exec sh -c "echo out; echo err >&2; exit 0" 2>@1]
puts [attempt {exec sh -c "echo partial; exit 7"}]
puts [attempt {exec sh -c {kill -9 $$}}]
puts [attempt {exec no-such-program}]
puts [attempt {exec sh -c "echo warns >&2"}]
exec sort -n << "3\n1\n2\n" > sorted
exec echo more >> sorted
puts [read [set f [open sorted]]]; close $f
set ids [exec sleep 60 & ]
exec kill $ids

# A pipeline both ways, and by events with several at once.
set pipe [open "|tr a-z A-Z" r+]
fconfigure $pipe -buffering line
puts $pipe "text for tr"; close $pipe write
puts [read $pipe]; close $pipe
set pipe [open "|sh -c {echo last words; exit 4}"]
puts [gets $pipe]
puts [attempt {close $pipe}]
proc readable {channel name} {
    global open said
    if {[gets $channel line] >= 0} { lappend said $name:$line }
    if {[eof $channel]} { close $channel; incr open -1 }
}
set said {}; set open 0
for {set i 0} {$i < 8} {incr i} {
    set channel [open "|sh -c {for n in 1 2 3; do echo \$n; done}"]
    fconfigure $channel -blocking 0
    fileevent $channel readable [list readable $channel $i]
    incr open
}
while {$open > 0} { vwait open }
puts [lsort $said]
set big [open "|cat" r+]
fconfigure $big -blocking 0 -translation binary -buffersize 100000
set total 0
fileevent $big readable { incr total [string length [read $big]]; if {$total >= 2000000} { set done 1 } }
puts -nonewline $big [string repeat x 2000000]; flush $big
vwait done
fconfigure $big -blocking 1
close $big
puts "through cat: $total"
lassign [chan pipe] from to
puts $to "in a pipe"; close $to; puts [gets $from]; close $from

# Timers and idle work, coroutines.
set order {}
after 40 {lappend order 40; set finished 1}
after 10 {lappend order 10}
after 25 {lappend order 25}
after idle {lappend order idle}
set never [after 20 {lappend order never}]
after cancel $never
vwait finished
puts $order
coroutine counter apply {{} { yield; for {set i 0} {1} {incr i} { yield $i } }}
counter; counter; puts [counter]
puts [expr {[lindex [time {after 20}] 0] >= 20000}]

# Files.
file mkdir a/b/c
for {set i 0} {$i < 40} {incr i} { set f [open a/b/f$i w]; puts -nonewline $f [string repeat x $i]; close $f }
puts [llength [glob a/b/*]]
puts [tcl::mathop::+ {*}[lmap name [glob -type f a/b/*] {file size $name}]]
file attributes a/b/f3 -permissions 0640
file mtime a/b/f3 1000
file stat a/b/f3 status
puts "$status(type) $status(size) $status(mtime) [format %o [expr {$status(mode) & 07777}]] $status(nlink)"
file link -symbolic a/link b/f3; file link -hard a/hard a/b/f3
puts "[file readlink a/link] [file type a/link] [file isdirectory a] [file exists a/none] [file readable a/link]"
file copy a/b a/copy; file rename a/copy a/moved; file delete -force a/b
puts [lsort [glob -tails -directory a *]]
foreach body {{open missing} {file delete a} {file mkdir a/link/x} {open a w} {file rename a a/moved} {cd a/hard} {file readlink a/hard}} { puts [attempt $body] }
set f [open data w+]
fconfigure $f -translation binary
puts -nonewline $f 0123456789; seek $f 100; puts -nonewline $f end; seek $f -3 end
puts "[read $f] [tell $f] [eof $f]"
chan truncate $f 5; seek $f 0; puts [read $f]
close $f
set f [file tempfile name]; puts $f x; close $f; puts [file size $name]; file delete $name
set f [open unicode w]; fconfigure $f -encoding utf-8; puts -nonewline $f \u20ac; close $f; puts [file size unicode]
puts [attempt {set f [open /dev/full w]; puts $f x; close $f}]
puts "[zlib crc32 abc] [string length [zlib inflate [zlib deflate [string repeat ab 10000]]]] [expr {2**100}] [clock format 0 -gmt 1 -format %Y-%m-%d]"
proc deep {n} { deep [incr n] }
puts [lindex [attempt {deep 0}] 1]
puts [gets stdin]; puts [string length [read stdin]]
puts stderr "to standard error"
exit 6
