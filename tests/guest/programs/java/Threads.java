// Threads: monitors, park, executors, fork-join, interruption, deadlock detection, thread-locals, virtual threads if any.
import java.lang.management.ManagementFactory;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.*;
import java.util.stream.*;

public class Threads {
    static int count;
    static final Object monitor = new Object();

    static synchronized void increment() { count++; }

    static void monitors() throws Exception {
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 16; i++) {
            Thread thread = new Thread(() -> { for (int n = 0; n < 5000; n++) increment(); }, "worker-" + i);
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) thread.join();
        System.out.println("synchronized " + count);

        // Ping-pong by wait and notify, and by park and unpark.
        int[] turn = {0};
        StringBuffer text = new StringBuffer();
        Thread[] players = new Thread[2];
        for (int who = 0; who < 2; who++) {
            int me = who;
            players[who] = new Thread(() -> {
                for (int n = 0; n < 500; n++) synchronized (monitor) {
                    try { while (turn[0] != me) monitor.wait(); } catch (InterruptedException e) { throw new RuntimeException(e); }
                    if (n < 5) text.append(me);
                    turn[0] = 1 - me;
                    monitor.notifyAll();
                }
            });
            players[who].start();
        }
        for (Thread player : players) player.join();
        System.out.println("ping-pong " + text);
        AtomicInteger ball = new AtomicInteger();
        Thread main = Thread.currentThread();
        Thread other = new Thread(() -> { for (int n = 0; n < 500; n++) { while (ball.get() % 2 == 0) LockSupport.park(); ball.incrementAndGet(); LockSupport.unpark(main); } });
        other.start();
        for (int n = 0; n < 500; n++) { ball.incrementAndGet(); LockSupport.unpark(other); while (ball.get() % 2 == 1) LockSupport.park(); }
        other.join();
        System.out.println("parked " + ball);
        LockSupport.unpark(main);
        LockSupport.park(); // takes the permit that may be left
        long start = System.nanoTime();
        LockSupport.parkNanos(20_000_000);
        synchronized (monitor) { monitor.wait(20); }
        System.out.println("timed " + (System.nanoTime() - start >= 30_000_000));
    }

    static void concurrent() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Integer>> futures = IntStream.range(0, 200).mapToObj(i -> pool.submit(() -> i * i)).collect(Collectors.toList());
        int sum = 0;
        for (Future<Integer> future : futures) sum += future.get();
        try { pool.submit(() -> { throw new IllegalStateException("on purpose"); }).get(); } catch (ExecutionException e) { System.out.println(e.getCause()); }
        pool.shutdown();
        System.out.println("pool " + sum + " " + pool.awaitTermination(5, TimeUnit.SECONDS));
        System.out.println("parallel " + IntStream.range(0, 2_000_000).parallel().filter(n -> n % 7 == 0).asLongStream().sum());
        System.out.println("fork-join " + new ForkJoinPool(3).invoke(new Fibonacci(22)));
        CompletableFuture<String> chain = CompletableFuture.supplyAsync(() -> 20).thenApplyAsync(n -> n + 1).thenCombine(CompletableFuture.supplyAsync(() -> 2), (a, b) -> "answer " + a * b);
        System.out.println(chain.get());
        ScheduledExecutorService timer = Executors.newScheduledThreadPool(1);
        CountDownLatch ticks = new CountDownLatch(5);
        timer.scheduleAtFixedRate(ticks::countDown, 1, 2, TimeUnit.MILLISECONDS);
        System.out.println("ticks " + ticks.await(10, TimeUnit.SECONDS));
        timer.shutdownNow();
        CyclicBarrier barrier = new CyclicBarrier(5);
        LongAdder adder = new LongAdder();
        ConcurrentHashMap<Integer, Integer> map = new ConcurrentHashMap<>();
        ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
        Semaphore permits = new Semaphore(2);
        Thread[] threads = new Thread[5];
        for (int i = 0; i < threads.length; i++) {
            threads[i] = new Thread(() -> {
                try {
                    for (int round = 0; round < 50; round++) {
                        barrier.await();
                        permits.acquire();
                        adder.increment();
                        permits.release();
                        lock.writeLock().lock();
                        map.merge(round, 1, Integer::sum);
                        lock.writeLock().unlock();
                    }
                } catch (Exception e) { throw new RuntimeException(e); }
            });
            threads[i].start();
        }
        for (Thread thread : threads) thread.join();
        System.out.println("barrier " + adder + " " + map.values().stream().mapToInt(n -> n).sum());
    }

    static class Fibonacci extends RecursiveTask<Integer> {
        final int n;
        Fibonacci(int n) { this.n = n; }
        protected Integer compute() {
            if (n < 2) return n;
            Fibonacci one = new Fibonacci(n - 1);
            one.fork();
            return new Fibonacci(n - 2).compute() + one.join();
        }
    }

    static void interruption() throws Exception {
        BlockingQueue<String> said = new LinkedBlockingQueue<>();
        Runnable[] waits = {
            () -> { try { Thread.sleep(100_000); } catch (InterruptedException e) { said.add("sleep"); } },
            () -> { synchronized (said) { try { said.wait(); } catch (InterruptedException e) { said.add("wait"); } } },
            () -> { LockSupport.park(); said.add("park " + Thread.interrupted()); },
            () -> { try { new SynchronousQueue<Integer>().take(); } catch (InterruptedException e) { said.add("take"); } },
        };
        for (Runnable wait : waits) {
            Thread thread = new Thread(wait);
            thread.start();
            while (thread.getState() != Thread.State.WAITING && thread.getState() != Thread.State.TIMED_WAITING) Thread.onSpinWait();
            thread.interrupt();
            thread.join();
            System.out.println("interrupted " + said.take());
        }
        Thread.setDefaultUncaughtExceptionHandler((thread, e) -> said.add(thread.getName() + ": " + e));
        Thread failing = new Thread(() -> { Object nothing = null; nothing.hashCode(); }, "failing");
        failing.start();
        System.out.println(said.take().startsWith("failing: java.lang.NullPointerException"));
        Thread deep = new Thread(null, () -> { try { recurse(0); } catch (StackOverflowError e) { said.add("overflow"); } }, "deep", 1 << 20);
        deep.start();
        System.out.println(said.take());
        ThreadLocal<Integer> local = ThreadLocal.withInitial(() -> 7);
        local.set(8);
        Thread reader = new Thread(() -> said.add("local " + local.get()));
        reader.start();
        System.out.println(said.take() + " " + local.get());

        ReentrantLock first = new ReentrantLock(), second = new ReentrantLock();
        CountDownLatch both = new CountDownLatch(2);
        for (ReentrantLock[] pair : new ReentrantLock[][] {{first, second}, {second, first}}) {
            Thread thread = new Thread(() -> { pair[0].lock(); both.countDown(); try { both.await(); } catch (InterruptedException e) { } pair[1].lock(); });
            thread.setDaemon(true);
            thread.start();
        }
        long[] stuck;
        while ((stuck = ManagementFactory.getThreadMXBean().findDeadlockedThreads()) == null) Thread.sleep(1);
        System.out.println("deadlock of " + stuck.length);
        System.out.println("stacks " + (Thread.getAllStackTraces().size() > 3));
        System.out.println("cpu " + (ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() > 0));
    }

    static int recurse(int n) { return recurse(n + 1) + 1; }

    static void many() throws Exception {
        CountDownLatch up = new CountDownLatch(300), go = new CountDownLatch(1), down = new CountDownLatch(300);
        for (int i = 0; i < 300; i++)
            new Thread(() -> { up.countDown(); try { go.await(); } catch (InterruptedException e) { } down.countDown(); }).start();
        up.await();
        go.countDown();
        down.await();
        System.out.println("three hundred");
        try { // Java 21 and later
            ExecutorService each = (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
            List<Future<Integer>> futures = new ArrayList<>();
            for (int i = 0; i < 5000; i++) { int n = i; futures.add(each.submit(() -> { Thread.sleep(5); return n; })); }
            long sum = 0;
            for (Future<Integer> future : futures) sum += future.get();
            System.out.println("virtual " + sum);
        } catch (NoSuchMethodException e) { System.out.println("no virtual threads"); }
    }

    public static void main(String[] arguments) throws Exception {
        monitors();
        concurrent();
        interruption();
        many();
        System.exit(5);
    }
}
