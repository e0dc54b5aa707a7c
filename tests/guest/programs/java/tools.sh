# The tools of the JDK: javac with packages and warnings, jar, every collector under load, running out of memory.
mkdir -p src/example/deep classes && cat >src/example/Main.java <<'EOF'
package example;

import example.deep.Tree;
import java.util.*;

public class Main {
    record Point(int x, int y) {}
    sealed interface Shape permits Circle {}
    record Circle(Point at) implements Shape {}

    public static void main(String[] arguments) throws Exception {
        Shape shape = new Circle(new Point(1, 2));
        System.out.println(shape + " " + Arrays.toString(arguments));
        List<Tree> kept = new ArrayList<>();
        Thread[] threads = new Thread[3];
        for (int t = 0; t < threads.length; t++) {
            threads[t] = new Thread(() -> {
                for (int i = 0; i < 15; i++) {
                    Tree tree = Tree.of(12);
                    if (tree.count() != 8191) throw new IllegalStateException();
                    if (i == 7) synchronized (kept) { kept.add(tree); }
                }
            });
            threads[t].start();
        }
        for (Thread thread : threads) thread.join();
        System.gc();
        System.out.println(kept.stream().mapToInt(Tree::count).sum());
        System.out.println(new String(Main.class.getResourceAsStream("/text").readAllBytes()).trim());
        if (arguments.length > 1) { List<long[]> all = new ArrayList<>(); for (;;) all.add(new long[1 << 17]); }
    }
}
EOF
cat >src/example/deep/Tree.java <<'EOF'
package example.deep;

public class Tree {
    Tree left, right;
    public static Tree of(int depth) { Tree t = new Tree(); if (depth > 0) { t.left = of(depth - 1); t.right = of(depth - 1); } return t; }
    public int count() { return 1 + (left == null ? 0 : left.count() + right.count()); }
}
EOF
echo 'class Wrong { int x = "text"; java.util.List raw; }' >Wrong.java
javac Wrong.java; echo "status $?"
javac -Xlint:all -d classes $(find src -name '*.java' | sort); echo "status $?"
echo resource >classes/text
jar --create --file app.jar --main-class example.Main -C classes . && jar tf app.jar
java -jar app.jar one
for collector in Serial Parallel G1 Z Shenandoah; do
    echo "$collector: $(java -XX:+Use${collector}GC -Xmx64m -jar app.jar $collector | md5sum)"
done
java -Xmx32m -jar app.jar one two 2>&1 | grep -o 'OutOfMemoryError: Java heap space'
java -Xint -cp app.jar example.Main interpreted | tail -1
java -XX:TieredStopAtLevel=1 -Xss512k -Xlog:disable -cp app.jar example.Main c1 | tail -1
javap -cp app.jar example.deep.Tree
