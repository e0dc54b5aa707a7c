# A running Java program seen by others: jps, jcmd and jstack attach to it (a signal and a socket), SIGQUIT dumps its threads.
cat >Wait.java <<'EOF'
public class Wait {
    public static void main(String[] arguments) throws Exception {
        Thread daemon = new Thread(() -> { synchronized (Wait.class) { try { Wait.class.wait(); } catch (InterruptedException e) { } } }, "waiting-thread");
        daemon.setDaemon(true);
        daemon.start();
        System.out.println("up");
        Thread.sleep(60_000);
    }
}
EOF
javac Wait.java
coproc java -XX:+UseSerialGC -XX:NativeMemoryTracking=summary Wait
pid=$COPROC_PID
read -ru "${COPROC[0]}" line; echo "$line"
jps | grep -o Wait
jcmd $pid VM.version | sed 1d
jstack $pid | grep -cE '^"(main|waiting-thread)"'
jcmd $pid GC.class_histogram | grep -o 'java.lang.String$' | head -1
jcmd $pid VM.native_memory summary | grep -cE '^- +(Java Heap|Thread)'
jinfo -flag UseSerialGC $pid
kill -QUIT $pid
while read -ru "${COPROC[0]}" line; do case $line in '"main"'*) echo dumped; break ;; esac; done
jcmd 999999 VM.version >/dev/null 2>&1; echo "status $?"
kill $pid
wait $pid; echo "status $?"
