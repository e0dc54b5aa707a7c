// Goroutines on several threads: channels, sync, pre-emption of loops, timers, garbage collection, panics, atomics.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

func channels() {
	jobs, results := make(chan int), make(chan int, 10)
	var group sync.WaitGroup
	for w := 0; w < 50; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := range jobs {
				results <- n * n
			}
		}()
	}
	go func() {
		for n := 1; n <= 5000; n++ {
			jobs <- n
		}
		close(jobs)
		group.Wait()
		close(results)
	}()
	sum := 0
	for r := range results {
		sum += r
	}
	fmt.Println("squares", sum)

	// A ring of 1000 goroutines that hands a token on.
	first := make(chan int)
	in := first
	for i := 0; i < 1000; i++ {
		out := make(chan int)
		go func(in, out chan int) {
			for token := range in {
				out <- token + 1
			}
			close(out)
		}(in, out)
		in = out
	}
	for round := 0; round < 5; round++ {
		go func() { first <- 0 }()
		fmt.Println("ring", <-in)
	}
	close(first)
	_, open := <-in
	fmt.Println("ring open", open)
}

func locks() {
	var mutex sync.Mutex
	var readers sync.RWMutex
	var once sync.Once
	var group sync.WaitGroup
	var count, made int
	var total int64
	shared := map[int]int{}
	for w := 0; w < 8; w++ {
		group.Add(1)
		go func(w int) {
			defer group.Done()
			once.Do(func() { made++ })
			for i := 0; i < 5000; i++ {
				mutex.Lock()
				count++
				mutex.Unlock()
				atomic.AddInt64(&total, int64(i))
				if i%100 == 0 {
					readers.Lock()
					shared[w*100+i/100] = i
					readers.Unlock()
				} else {
					readers.RLock()
					_ = shared[w]
					readers.RUnlock()
				}
			}
		}(w)
	}
	group.Wait()
	fmt.Println("locks", count, total, made, len(shared))

	cond := sync.NewCond(&mutex)
	ready := false
	for w := 0; w < 20; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			mutex.Lock()
			for !ready {
				cond.Wait()
			}
			count++
			mutex.Unlock()
		}()
	}
	time.Sleep(2 * time.Millisecond)
	mutex.Lock()
	ready = true
	mutex.Unlock()
	cond.Broadcast()
	group.Wait()
	fmt.Println("cond", count)
}

// Loops without a call can only be stopped by a signal: SIGURG, sent by the runtime to its own threads.
func preemption() {
	var stop, turns int64
	for i := 0; i < 3; i++ { // more than there are processors
		go func() {
			n := int64(0)
			for {
				n++
				if n < 0 {
					atomic.AddInt64(&turns, n)
				}
			}
		}()
	}
	for i := 0; i < 5; i++ {
		runtime.Gosched()
		time.Sleep(time.Millisecond)
		atomic.AddInt64(&stop, 1)
	}
	runtime.GC() // stops the world: each of these loops too
	fmt.Println("pre-empted", stop)
}

type node struct {
	left, right *node
	fill        [3]int
}

func tree(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{left: tree(depth - 1), right: tree(depth - 1)}
}

func (n *node) count() int {
	if n == nil {
		return 0
	}
	return 1 + n.left.count() + n.right.count()
}

func collection() {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	kept := tree(14)
	var group sync.WaitGroup
	for w := 0; w < 4; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < 12; i++ {
				if tree(12).count() != 1<<13-1 {
					panic("lost a node")
				}
			}
		}()
	}
	group.Wait()
	runtime.ReadMemStats(&after)
	fmt.Println("collected", kept.count(), after.NumGC > before.NumGC, after.Mallocs-before.Mallocs > 400000)
	finalized := make(chan bool, 1)
	func() { runtime.SetFinalizer(&node{fill: [3]int{1}}, func(*node) { finalized <- true }) }()
	for done := false; !done; {
		runtime.GC()
		select {
		case <-finalized:
			done = true
		case <-time.After(time.Millisecond):
		}
	}
	big := make([]byte, 64<<20)
	for i := range big {
		big[i] = 1
	}
	fmt.Println("big", bytes.Count(big, []byte{1}))
	big = nil
	debug.FreeOSMemory()
	fmt.Println("finalized")
}

func timers() {
	var early int64
	var group sync.WaitGroup
	for _, ms := range []int{90, 30, 60, 1} {
		group.Add(1)
		due := time.Now().Add(time.Duration(ms) * time.Millisecond)
		time.AfterFunc(time.Until(due), func() {
			if time.Now().Before(due) {
				atomic.AddInt64(&early, 1)
			}
			group.Done()
		})
	}
	group.Wait()
	fmt.Println("early", early)
	ticker := time.NewTicker(2 * time.Millisecond)
	for i := 0; i < 5; i++ {
		<-ticker.C
	}
	ticker.Stop()
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	fmt.Println("deadline", errors.Is(ctx.Err(), context.DeadlineExceeded), time.Since(start) >= 20*time.Millisecond)
	many := make(chan int, 1000)
	for i := 0; i < 1000; i++ {
		go func(i int) { time.Sleep(time.Duration(i%7) * time.Millisecond); many <- i }(i)
	}
	seen := make([]int, 0, 1000)
	for len(seen) < 1000 {
		seen = append(seen, <-many)
	}
	sort.Ints(seen)
	fmt.Println("sleepers", seen[0], seen[999])
}

func faults() {
	defer func() {
		err := recover().(runtime.Error)
		fmt.Println("recovered", err)
	}()
	var nothing *node
	fmt.Println(nothing.fill[1])
}

func division(by int) (err error) {
	defer func() { err = recover().(error) }()
	fmt.Println(1 / by)
	return nil
}

func deep(n int) int {
	var room [64]int
	if n == 0 {
		return room[0]
	}
	return deep(n-1) + 1 + room[n%64]
}

func main() {
	fmt.Println(runtime.GOOS, runtime.GOARCH, runtime.NumCPU() > 0, runtime.GOMAXPROCS(2) > 0)
	channels()
	locks()
	timers()
	collection()
	faults()
	fmt.Println(division(0))
	debug.SetPanicOnFault(true)
	fmt.Println("deep", deep(100000))
	locked := make(chan bool)
	for i := 0; i < 10; i++ { // threads of their own
		go func() { runtime.LockOSThread(); time.Sleep(time.Millisecond); locked <- true }()
	}
	for i := 0; i < 10; i++ {
		<-locked
	}
	preemption()
	defer fmt.Println("not reached")
	os.Exit(3)
}
