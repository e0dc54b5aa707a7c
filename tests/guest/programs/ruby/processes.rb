# Processes, threads, signals and sockets in Ruby: fork, spawn, pipes, IO.select, Fiber scheduling, UNIX sockets.
require "io/wait"
require "open3"
require "socket"
require "tempfile"
require "timeout"

$stdout.sync = true

pid = fork { exit! 7 }
Process.wait(pid)
puts "fork #{$?.exitstatus}"
reader, writer = IO.pipe
pid = fork { reader.close; writer.puts "from the child"; exit }
writer.close
puts reader.read, Process.wait2(pid)[1].success?
puts `echo out; exit 3`, $?.exitstatus, system("exit 2"), system("no-such-program").inspect
out, err, status = Open3.capture3("tr a b; echo err >&2; kill -9 $$", stdin_data: "a" * 200_000)
puts out.count("b"), err, status.termsig
pid = Process.spawn({ "A" => "1" }, "echo $A; cat; ls /dev/fd/9 >/dev/null 2>&1 || echo closed", in: File.open("/etc/hostname"), out: "log", unsetenv_others: true, chdir: "/tmp")
Process.wait(pid)
puts File.readlines("log").size
pids = 20.times.map { |i| spawn("exit #{i}") }
puts pids.map { |p| Process.wait2(p)[1].exitstatus }.join(" ")
begin Process.wait; rescue Errno::ECHILD => e; puts e.message; end
IO.popen(["sort", "-n"], "r+") { |io| io.puts([3, 1, 2]); io.close_write; print io.read }
daemon = fork { Process.setsid; sleep }
Process.detach(daemon).then { |waiter| Process.kill(:TERM, daemon); puts waiter.value.termsig }

# Threads, which one lock lets run in turn, and what waits without it.
mutex, condition, queue = Mutex.new, ConditionVariable.new, Queue.new
count = 0
threads = 8.times.map { |i| Thread.new { 500.times { mutex.synchronize { count += 1 } }; queue << i } }
threads.each(&:join)
puts "threads #{count} #{queue.size}"
waiting = Thread.new { mutex.synchronize { condition.wait(mutex); :woken } }
Thread.pass until waiting.status == "sleep"
mutex.synchronize { condition.signal }
puts waiting.value
puts Thread.new { Thread.current[:x] = 1; Thread.stop; :resumed }.tap { |t| Thread.pass until t.stop?; t.wakeup }.value
begin Timeout.timeout(0.02) { sleep }; rescue Timeout::Error => e; puts e.message; end
busy = Thread.new { loop { } }
sleep 0.01
busy.kill.join
begin Thread.new { raise ArgumentError, "in a thread" }.tap { |t| t.report_on_exception = false }.join; rescue => e; puts e.inspect; end
ractors = begin
  $VERBOSE = nil
  3.times.map { |i| Ractor.new(i) { |n| (1..20_000).sum * n } }.map(&:take)
end
puts "ractors #{ractors}"

# Signals.
%w[HUP USR1 USR2 TERM INT CHLD].each do |name|
  trap(name) { |number| queue << Signal.signame(number) }
  queue.clear
  Process.kill(name, Process.pid)
  puts "signal #{queue.pop}"
  trap(name, "DEFAULT")
end
begin
  Process.kill(:INT, Process.pid)
  sleep 5
rescue Interrupt => e
  puts e.class
end
storms = 0
trap("USR1") { storms += 1 }
sender = spawn("for i in $(seq 100); do kill -USR1 $PPID; done")
Process.wait(sender)
sleep 0.001 until storms.positive?
puts "storm"

# Waiting for many.
pairs = 5.times.map { UNIXSocket.pair }
pairs.each_with_index { |(a, _), i| Thread.new { sleep 0.002 * i; a.write(i); a.close } }
open, said = pairs.map(&:last), +""
until open.empty?
  IO.select(open, nil, nil, 5)[0].each { |io| text = io.read_nonblock(10, exception: false); text ? said << text : open.delete(io) }
end
puts said.chars.sort.join
puts IO.select([reader = IO.pipe[0]], nil, nil, 0.01).inspect
server = UNIXServer.new("server.sock")
clients = 10.times.map { |i| Thread.new { UNIXSocket.open("server.sock") { |s| s.write("x" * i * 10_000); s.close_write; s.read } } }
10.times { s = server.accept; Thread.new { s.write("had #{s.read.size}"); s.close } }
puts clients.map(&:value).inspect
one, two = UNIXSocket.pair
one.send_io(File.open("/etc/passwd"))
puts two.recv_io.gets.start_with?("root")
puts two.getsockopt(:SOCKET, :LINGER).linger.inspect

# A scheduler of fibers over IO.select.
class Scheduler
  def initialize = (@ready, @reading, @sleeping = [], {}, {})
  def run
    until @ready.empty? && @reading.empty? && @sleeping.empty?
      now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      wait = @ready.empty? ? @sleeping.values.min&.then { |t| [t - now, 0].max } : 0
      found, = IO.select(@reading.keys, nil, nil, wait)
      found&.each { |io| @ready << @reading.delete(io) }
      now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      @sleeping.select { |_, t| t <= now }.each_key { |fiber| @sleeping.delete(fiber); @ready << fiber }
      @ready.shift(@ready.size).each(&:resume)
    end
  end
  alias close run
  def io_wait(io, events, timeout) = (@reading[io] = Fiber.current; Fiber.yield; events)
  def kernel_sleep(time = nil) = (@sleeping[Fiber.current] = Process.clock_gettime(Process::CLOCK_MONOTONIC) + time; Fiber.yield; true)
  def block(blocker, timeout = nil) = (@sleeping[Fiber.current] = Process.clock_gettime(Process::CLOCK_MONOTONIC) + (timeout || 0.001); Fiber.yield; true)
  def unblock(blocker, fiber) = @sleeping[fiber] = 0
  def fiber(&block) = Fiber.new(blocking: false, &block).tap(&:resume)
end
order = []
Thread.new do
  Fiber.set_scheduler(Scheduler.new)
  reader, writer = IO.pipe
  Fiber.schedule { order << :reading; order << reader.readline.chomp.to_sym }
  Fiber.schedule { sleep 0.02; order << :slept; writer.puts "written" }
  Fiber.schedule { sleep 0.01; order << :shorter }
  order << :scheduled
end.join
puts order.inspect
at_exit { puts "at exit" }
trap("EXIT") { puts "trap of exit" }
abort "the end"
