# Files, directories, locks, data and garbage in Ruby.
require "digest"
require "fileutils"
require "find"
require "json"
require "pathname"
require "set"
require "stringio"
require "tmpdir"
require "yaml"
require "zlib"
require "pstore"
require "objspace"

FileUtils.mkdir_p("a/b/c")
50.times { |i| File.write("a/b/f#{i}", "x" * i) }
puts Dir["a/**/*"].size, Find.find("a").sum { |f| File.file?(f) ? File.size(f) : 0 }, Dir.children("a/b").size
File.symlink("b", "a/link"); File.link("a/b/f7", "a/hard")
puts File.readlink("a/link"), File.stat("a/hard").nlink, File.lstat("a/link").ftype, File.realpath("a/link").delete_prefix(Dir.pwd)
File.chmod(0o640, "a/hard"); File.utime(10, 20.5, "a/hard")
s = File.stat("a/b/f7")
puts s.mode.to_s(8), s.mtime.to_f, s.atime.to_i, s.size, s.blksize
%w[missing a/b/f1/x a].each { |n| begin File.open(n, "r+"); rescue SystemCallError => e; puts e.message; end }
[-> { Dir.rmdir("a") }, -> { Dir.mkdir("a") }, -> { File.rename("a", "a/b/z") }, -> { File.unlink("a/b") }, -> { IO.sysopen("/etc/passwd/", "r") }].each { |f| begin f.call; rescue SystemCallError => e; puts e.class; end }
FileUtils.cp_r("a/b", "a/copy", preserve: true); FileUtils.rm_rf("a/b"); FileUtils.mv("a/copy", "a/b")
File.open("data", "w+") do |f|
  f.write("0123456789"); f.seek(3); f.putc("x"); f.pos = 100; f << "end"
  f.flush; f.rewind
  puts f.read.size, f.pread(4, 2), f.pwrite("yy", 0), f.eof?
  f.truncate(5); f.rewind
  p f.read
  puts f.flock(File::LOCK_EX)
  puts File.open("data").flock(File::LOCK_SH | File::LOCK_NB), fork { exit!(File.open("data").flock(File::LOCK_EX | File::LOCK_NB) ? 1 : 4) }.then { |pid| Process.wait2(pid)[1].exitstatus }
end
IO.copy_stream("/etc/passwd", "copied")
puts Digest::SHA256.file("copied") == Digest::SHA256.file("/etc/passwd"), FileUtils.compare_file("copied", "/etc/passwd")
File.open("large", "w") { |f| 200.times { |i| f.write("line #{i}\n" * 1000) } }
puts Digest::MD5.file("large"), File.foreach("large").lazy.select { |l| l.end_with?("7\n") }.count
Zlib::GzipWriter.open("large.gz") { |z| z.write(File.read("large")) }
puts Zlib::GzipReader.open("large.gz") { |z| z.read.size }, File.size("large.gz") < 100_000
Dir.mktmpdir { |d| Dir.chdir(d) { File.write("x", ""); puts Dir.pwd == File.realpath(d) } }
store = PStore.new("store"); store.transaction { store[:a] = [1, { "b" => 2.5 }] }
puts store.transaction(true) { store[:a] }.inspect, YAML.load(YAML.dump({ "x" => [1, nil, "é"] })).inspect, JSON.pretty_generate({ a: [1, 2] })
File.open("é", "w:utf-16le") { |f| f.print "ü" }
p Dir.glob("?"), File.binread("é"), "ü".encode("ISO-8859-1").bytes, Time.at(0).utc.to_s, $0, __FILE__
puts 2**200, 1.0 / 3, "%08.3f|%-5s|%x" % [3.14159, "a", 255], (1..10).each_slice(3).to_a.inspect, [3, 1].sort.pack("n*").unpack("C*").inspect
kept = Array.new(200_000) { |i| "string #{i}" }
5.times { Array.new(100_000) { Object.new } }
GC.start; GC.compact
puts kept.size, kept.last, GC.count > 0, ObjectSpace.memsize_of(kept) > 1_000_000
def deep(n) = deep(n + 1)
begin deep(0); rescue SystemStackError => e; puts e.message; end
p ARGF.read, $stdin.eof?, [$stdin, $stdout].map(&:tty?)
