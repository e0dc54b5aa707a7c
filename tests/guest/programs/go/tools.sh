# The go command: a module of two packages, built, run, vetted, formatted, tested (in parallel, failing too), benchmarked.
mkdir -p module && cd module || exit
mkdir -p greet && cat >go.mod <<'EOF'
module example

go 1.18
EOF
cat >greet/greet.go <<'EOF'
// Package greet says things.
package greet

import "strings"

// Number is any number.
type Number interface{ ~int | ~float64 }

// Sum adds up.
func Sum[N Number](numbers ...N) (sum N) {
	for _, n := range numbers {
		sum += n
	}
	return
}

// Hello greets somebody.
func Hello(name string) string { return "hello, " + strings.ToUpper(name) }
EOF
cat >greet/greet_test.go <<'EOF'
package greet

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestHello(t *testing.T) {
	for _, name := range []string{"a", "b", "c"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			time.Sleep(time.Millisecond)
			if Hello(name) == "" {
				t.Fail()
			}
		})
	}
}

func TestFiles(t *testing.T) {
	if err := os.WriteFile(t.TempDir()+"/x", []byte("y"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("echo", "hi").Output(); err != nil || string(out) != "hi\n" {
		t.Fatal(out, err)
	}
}

func TestFailing(t *testing.T) {
	if os.Getenv("FAIL") != "" {
		t.Errorf("Sum: %d", Sum(1, 2))
	}
}

func BenchmarkSum(b *testing.B) {
	for i := 0; i < b.N; i++ {
		Sum(1.5, 2.5)
	}
}

func FuzzHello(f *testing.F) {
	f.Add("x")
	f.Fuzz(func(t *testing.T, name string) { Hello(name) })
}
EOF
cat >main.go <<'EOF'
package main

import (
	_ "embed"
	"fmt"
	"os"

	"example/greet"
)

//go:embed go.mod
var module string

func main() {
	fmt.Println(greet.Hello("you"), greet.Sum(os.Args[1:]...) == "", len(module))
}
EOF
go build . 2>&1; echo "status $?"
sed -i 's/greet.Sum(os.Args.*, len/greet.Sum(1, len(os.Args)), len/' main.go
go vet ./... && go build -o prog . && ./prog a b
go run . 1 2 3; echo "status $?"
gofmt -l .; printf 'package x\nfunc  f( ){}\n' | gofmt
go test ./... 2>&1 | sed -E 's/\t[0-9.]+s$//'
FAIL=1 go test ./greet 2>&1 | sed -E 's/[0-9.]+s\)?$//'
go test -run='^$' -bench=. -benchtime=100x ./greet | sed -nE 's/^(BenchmarkSum).*\b100\b.*/\1/p'
go list ./...
