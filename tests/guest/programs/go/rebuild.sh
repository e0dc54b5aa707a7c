# The standard library compiled anew, many compilers at once: for another architecture, and with the race detector.
mkdir -p module && cd module || exit
cat >go.mod <<'EOF'
module example

go 1.18
EOF
cat >main.go <<'EOF'
package main

import (
	"encoding/json"
	"fmt"
	"sync"
)

func main() {
	var group sync.WaitGroup
	count := 0
	for i := 0; i < 2; i++ {
		group.Add(1)
		go func() { defer group.Done(); count++ }()
	}
	group.Wait()
	text, err := json.Marshal(map[string]int{"count": 2})
	fmt.Println(string(text), err)
}
EOF
GOOS=linux GOARCH=arm64 go build -o arm . && od -An -tx2 -j18 -N2 arm
go run -race . 2>&1 | grep -E 'WARNING|exit status|count"'
