// ProcessBuilder and ProcessHandle, signals and shutdown hooks, files by NIO: mapped, locked, watched, walked; UNIX sockets.
import java.io.*;
import java.lang.management.ManagementFactory;
import java.net.*;
import java.nio.*;
import java.nio.channels.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.nio.file.attribute.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;

public class Processes {
    static String run(String... command) throws Exception {
        Process process = new ProcessBuilder(command).start();
        process.getOutputStream().close();
        String out = new String(process.getInputStream().readAllBytes()), err = new String(process.getErrorStream().readAllBytes());
        return process.waitFor() + " [" + out.trim() + "] [" + err.trim() + "]";
    }

    static void children() throws Exception {
        System.out.println(run("sh", "-c", "echo out; echo err >&2; exit 7"));
        System.out.println(run("sh", "-c", "kill -9 $$"));
        try { run("no-such-program"); } catch (IOException e) { System.out.println(e.getMessage()); }
        ProcessBuilder builder = new ProcessBuilder("sh", "-c", "echo $A; pwd; cat missing; cat");
        builder.environment().clear();
        builder.environment().putAll(Map.of("A", "1", "PATH", "/usr/bin:/bin", "LC_ALL", "C"));
        Files.writeString(Path.of("input"), "from a file\n");
        builder.directory(new File("/usr")).redirectErrorStream(true).redirectInput(new File("input")).redirectOutput(ProcessBuilder.Redirect.appendTo(new File("log")));
        System.out.println(builder.start().waitFor() + " " + Files.readAllLines(Path.of("log")));
        Process tr = new ProcessBuilder("tr", "a", "b").start();
        Future<Long> counted = CompletableFuture.supplyAsync(() -> {
            try { return new String(tr.getInputStream().readAllBytes()).chars().filter(c -> c == 'b').count(); } catch (IOException e) { throw new UncheckedIOException(e); }
        });
        try (OutputStream in = tr.getOutputStream()) { for (int i = 0; i < 50; i++) in.write("a".repeat(20000).getBytes()); }
        System.out.println("filter " + counted.get());
        List<Process> pipeline = ProcessBuilder.startPipeline(List.of(new ProcessBuilder("seq", "5000"), new ProcessBuilder("grep", "9"), new ProcessBuilder("wc", "-l")));
        System.out.println("pipeline " + new String(pipeline.get(2).getInputStream().readAllBytes()).trim());
        ExecutorService pool = Executors.newFixedThreadPool(8);
        List<Future<String>> many = IntStream.range(0, 24).mapToObj(i -> pool.submit(() -> run("sh", "-c", "echo " + i + "; exit " + i))).collect(Collectors.toList());
        StringJoiner joined = new StringJoiner(", ");
        for (Future<String> one : many) joined.add(one.get());
        pool.shutdown();
        System.out.println(joined);
        Process sleeping = new ProcessBuilder("sleep", "100").start();
        System.out.println(sleeping.waitFor(20, TimeUnit.MILLISECONDS) + " " + sleeping.isAlive() + " " + sleeping.toHandle().info().command().orElse("?"));
        CompletableFuture<Integer> exit = sleeping.onExit().thenApply(Process::exitValue);
        sleeping.destroy();
        System.out.println("terminated " + exit.get());
        Process killed = new ProcessBuilder("sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done").start();
        killed.getInputStream().read();
        System.out.println("children " + ProcessHandle.current().children().filter(c -> c.pid() == killed.pid()).count());
        killed.descendants().forEach(ProcessHandle::destroyForcibly);
        System.out.println("killed " + killed.destroyForcibly().waitFor());
        System.out.println("self " + ProcessHandle.current().info().command().map(c -> c.endsWith("java")).orElse(false) + " " + ProcessHandle.current().parent().isPresent());
    }

    static void files() throws Exception {
        Path tree = Files.createDirectories(Path.of("a/b/c"));
        for (int i = 0; i < 50; i++) Files.writeString(tree.resolve("f" + i), "x".repeat(i));
        try (Stream<Path> walk = Files.walk(Path.of("a"))) { System.out.println("walk " + walk.filter(Files::isRegularFile).mapToLong(p -> p.toFile().length()).sum()); }
        try (DirectoryStream<Path> found = Files.newDirectoryStream(tree, "f?")) { int n = 0; for (Path p : found) n++; System.out.println("glob " + n); }
        Path file = tree.resolve("f7");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r-----"));
        Files.setLastModifiedTime(file, FileTime.fromMillis(1_234_567));
        PosixFileAttributes attributes = Files.readAttributes(file, PosixFileAttributes.class);
        System.out.println(PosixFilePermissions.toString(attributes.permissions()) + " " + attributes.lastModifiedTime() + " " + !attributes.owner().getName().isEmpty() + " " + attributes.size());
        Files.createSymbolicLink(Path.of("a/link"), file.toAbsolutePath());
        Files.createLink(Path.of("a/hard"), file);
        System.out.println(Files.isSymbolicLink(Path.of("a/link")) + " " + Files.isSameFile(Path.of("a/link"), Path.of("a/hard")) + " " + Files.getAttribute(file, "unix:nlink"));
        Files.move(Path.of("a/hard"), Path.of("a/moved"), StandardCopyOption.ATOMIC_MOVE);
        Files.copy(file, Path.of("a/copy"), StandardCopyOption.COPY_ATTRIBUTES);
        for (Callable<?> attempt : List.<Callable<?>>of(
            () -> Files.readString(Path.of("missing")), () -> Files.createDirectory(Path.of("a")), () -> Files.walk(Path.of("nowhere")),
            () -> { Files.delete(Path.of("a")); return 0; }, () -> Files.readSymbolicLink(file), () -> Files.newInputStream(Path.of("a")).read()))
            try { System.out.println(attempt.call()); } catch (IOException e) { System.out.println(e.getClass().getSimpleName() + " " + e.getMessage().replaceAll(".*/", "")); }

        try (FileChannel channel = FileChannel.open(Path.of("data"), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            MappedByteBuffer map = channel.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 16);
            map.put(5000, (byte) 'm').putInt(8, 0x12345678);
            map.force();
            ByteBuffer read = ByteBuffer.allocate(4);
            channel.read(read, 8);
            System.out.println(Arrays.toString(read.array()) + " " + channel.size() + " " + map.isLoaded());
            channel.write(new ByteBuffer[] {ByteBuffer.wrap("gather".getBytes()), ByteBuffer.wrap("ed".getBytes())});
            byte[] seen = new byte[8];
            map.get(seen, 0, 8);
            System.out.println(new String(seen));
            try (FileChannel to = FileChannel.open(Path.of("sent"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) { System.out.println("sent " + channel.transferTo(0, 1 << 16, to)); }
            try (FileLock lock = channel.lock(0, 100, false)) {
                System.out.println("lock " + lock.isValid() + " " + lock.isShared());
                try { channel.tryLock(50, 10, true); } catch (OverlappingFileLockException e) { System.out.println("overlapping"); }
                System.out.println(run("/usr/bin/python3", "-c", "import fcntl; f = open('data', 'r+')\ntry: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)\nexcept OSError as e: print(e.errno)\nfcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 200); print('beyond')"));
            }
        }
        try (AsynchronousFileChannel channel = AsynchronousFileChannel.open(Path.of("sent"), StandardOpenOption.READ)) {
            ByteBuffer buffer = ByteBuffer.allocate(8);
            System.out.println("asynchronous " + channel.read(buffer, 0).get() + " " + new String(buffer.array()));
        }
        try (RandomAccessFile random = new RandomAccessFile("sparse", "rw")) {
            random.setLength(1L << 31);
            random.seek((1L << 31) - 1);
            System.out.println(random.read() + " " + random.length() + " " + random.read());
        }
        FileStore store = Files.getFileStore(Path.of("."));
        System.out.println("store " + (store.getTotalSpace() >= store.getUsableSpace()) + " " + Files.createTempFile("x", "y").toFile().delete());
    }

    static void sockets() throws Exception {
        UnixDomainSocketAddress address = UnixDomainSocketAddress.of("server.sock");
        try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX); Selector selector = Selector.open()) {
            server.bind(address).configureBlocking(false);
            server.register(selector, SelectionKey.OP_ACCEPT);
            Thread loop = new Thread(() -> {
                try {
                    int left = 10;
                    while (left > 0) {
                        selector.select();
                        for (Iterator<SelectionKey> keys = selector.selectedKeys().iterator(); keys.hasNext(); ) {
                            SelectionKey key = keys.next();
                            keys.remove();
                            if (key.isAcceptable()) { SocketChannel client = server.accept(); client.configureBlocking(false); client.register(selector, SelectionKey.OP_READ, new int[1]); continue; }
                            SocketChannel client = (SocketChannel) key.channel();
                            int n = client.read(ByteBuffer.allocate(100_000));
                            if (n > 0) { ((int[]) key.attachment())[0] += n; continue; }
                            client.write(ByteBuffer.wrap(("had " + ((int[]) key.attachment())[0]).getBytes()));
                            client.close();
                            left--;
                        }
                    }
                } catch (IOException e) { System.out.println(e); }
            });
            loop.start();
            List<String> answers = IntStream.range(0, 10).parallel().mapToObj(i -> {
                try (SocketChannel client = SocketChannel.open(address)) {
                    for (ByteBuffer data = ByteBuffer.allocate(i * 50_000); data.hasRemaining(); ) client.write(data);
                    client.shutdownOutput();
                    ByteBuffer answer = ByteBuffer.allocate(100);
                    while (client.read(answer) >= 0) { }
                    return new String(answer.array(), 0, answer.position());
                } catch (IOException e) { return e.toString(); }
            }).collect(Collectors.toList());
            loop.join();
            System.out.println(answers);
            selector.wakeup();
            System.out.println("woken " + selector.select(1000));
        }
        Pipe pipe = Pipe.open();
        pipe.sink().write(ByteBuffer.wrap("through a pipe".getBytes()));
        ByteBuffer buffer = ByteBuffer.allocate(20);
        pipe.source().read(buffer);
        System.out.println(new String(buffer.array(), 0, buffer.position(), StandardCharsets.UTF_8));
    }

    public static void main(String[] arguments) throws Exception {
        children();
        files();
        sockets();
        BlockingQueue<String> signals = new LinkedBlockingQueue<>();
        for (String name : List.of("HUP", "USR2", "INT", "WINCH")) {
            sun.misc.Signal.handle(new sun.misc.Signal(name), signal -> signals.add(signal.getName()));
            run("kill", "-" + name, "" + ProcessHandle.current().pid());
            System.out.println("signal " + signals.take());
        }
        System.out.println("jvm " + (ManagementFactory.getRuntimeMXBean().getUptime() > 0) + " " + Runtime.getRuntime().availableProcessors());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        System.out.println(System.in.read());
        run("kill", "-TERM", "" + ProcessHandle.current().pid());
        Thread.sleep(100_000);
    }
}
