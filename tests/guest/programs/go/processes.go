// os/exec, os/signal, pipes and files: children with pipes and contexts, many at once, signals as they come.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func children() {
	out, err := exec.Command("sh", "-c", "echo out; echo err >&2; exit 7").Output()
	var exit *exec.ExitError
	fmt.Printf("%q %v %q\n", out, errors.As(err, &exit), exit.Stderr)
	fmt.Println(exit.ExitCode(), exec.Command("sh", "-c", "kill -9 $$").Run())
	_, err = exec.LookPath("no-such-program")
	fmt.Println(err)
	fmt.Println(exec.Command("/etc/passwd").Run())

	cat := exec.Command("tr", "a", "b")
	cat.Stdin = strings.NewReader(strings.Repeat("a", 1_000_000))
	var buffer bytes.Buffer
	cat.Stdout = &buffer
	check(cat.Run())
	fmt.Println("filter", bytes.Count(buffer.Bytes(), []byte("b")))

	one, two := exec.Command("seq", "20000"), exec.Command("tail", "-1")
	two.Stdin, err = one.StdoutPipe()
	check(err)
	two.Stdout = os.Stdout
	check(two.Start())
	check(one.Run())
	check(two.Wait())

	var group sync.WaitGroup
	outputs := make([]string, 40)
	for i := range outputs {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			command := exec.Command("sh", "-c", fmt.Sprintf("echo -n $N; exit %d", i%3))
			command.Env = []string{fmt.Sprintf("N=%d", i)}
			out, err := command.CombinedOutput()
			outputs[i] = fmt.Sprint(string(out), err)
		}(i)
	}
	group.Wait()
	fmt.Println(strings.Join(outputs, ", "))

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	fmt.Println(exec.CommandContext(ctx, "sleep", "60").Run(), ctx.Err())

	reader, writer, err := os.Pipe()
	check(err)
	extra := exec.Command("sh", "-c", "echo on three >&3; cat <&4")
	in, feed, err := os.Pipe()
	check(err)
	extra.ExtraFiles = []*os.File{writer, in}
	extra.Stdout = os.Stdout
	check(extra.Start())
	writer.Close()
	in.Close()
	fmt.Fprintln(feed, "through four")
	feed.Close()
	text, _ := io.ReadAll(reader)
	fmt.Printf("%q %v\n", text, extra.Wait())

	job := exec.Command("sh", "-c", "sleep 60 & echo up; wait")
	job.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lines, err := job.StdoutPipe()
	check(err)
	check(job.Start())
	line, _ := bufio.NewReader(lines).ReadString('\n')
	fmt.Printf("%q %v\n", line, syscall.Kill(-job.Process.Pid, syscall.SIGTERM))
	fmt.Println(job.Wait(), job.ProcessState.UserTime() >= 0)
}

func signals() {
	got := make(chan os.Signal, 64)
	signal.Notify(got, syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGTERM, os.Interrupt, syscall.SIGURG)
	self, err := os.FindProcess(os.Getpid())
	check(err)
	for _, number := range []os.Signal{syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGTERM, os.Interrupt} {
		check(self.Signal(number))
		for received := range got {
			if received != syscall.SIGURG { // the runtime's own
				fmt.Println("signal", received)
				break
			}
		}
	}
	signal.Reset()
	signal.Ignore(syscall.SIGHUP)
	check(self.Signal(syscall.SIGHUP))
	fmt.Println("ignored", signal.Ignored(syscall.SIGHUP))

	// A child that sends signals while this one computes and waits.
	storm := make(chan os.Signal, 1000)
	signal.Notify(storm, syscall.SIGUSR2)
	sender := exec.Command("sh", "-c", "for i in $(seq 100); do kill -USR2 $PPID; done")
	check(sender.Start())
	done := make(chan error)
	go func() { done <- sender.Wait() }()
	work := 0
	for running := true; running; {
		select {
		case err := <-done:
			check(err)
			running = false
		default:
			for i := 0; i < 1000; i++ {
				work += i
			}
		}
	}
	<-storm
	fmt.Println("storm", work > 0)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGALRM)
	defer stop()
	check(self.Signal(syscall.SIGALRM))
	<-ctx.Done()
	fmt.Println(ctx.Err())
}

func files() {
	check(os.MkdirAll("a/b/c", 0o755))
	for i := 0; i < 100; i++ {
		check(os.WriteFile(fmt.Sprintf("a/b/f%02d", i), bytes.Repeat([]byte{'x'}, i), 0o600))
	}
	total := int64(0)
	check(filepath.WalkDir("a", func(path string, entry fs.DirEntry, err error) error {
		if info, e := entry.Info(); e == nil && entry.Type().IsRegular() {
			total += info.Size()
		}
		return err
	}))
	fmt.Println("walked", total)
	_, err := os.ReadFile("a/missing")
	fmt.Println(err, errors.Is(err, fs.ErrNotExist), os.Mkdir("a", 0o755), os.Remove("a"))
	file, err := os.OpenFile("locked", os.O_CREATE|os.O_RDWR, 0o644)
	check(err)
	check(file.Truncate(1 << 16))
	data, err := syscall.Mmap(int(file.Fd()), 0, 1<<16, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	check(err)
	copy(data[100:], "mapped")
	read := make([]byte, 6)
	_, err = file.ReadAt(read, 100)
	fmt.Printf("%q %v\n", read, err)
	check(syscall.Munmap(data))
	check(syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	other, err := os.Open("locked")
	check(err)
	fmt.Println(syscall.Flock(int(other.Fd()), syscall.LOCK_SH|syscall.LOCK_NB))
	reader, writer, err := os.Pipe()
	check(err)
	check(reader.SetReadDeadline(time.Now().Add(10 * time.Millisecond)))
	_, err = reader.Read(read)
	fmt.Println(err, errors.Is(err, os.ErrDeadlineExceeded))
	writer.Close()
	check(os.RemoveAll("a"))
}

func main() {
	children()
	signals()
	files()
	process, _ := os.FindProcess(os.Getpid())
	process.Signal(syscall.SIGTERM) // the default again: it ends us
	select {}
}
