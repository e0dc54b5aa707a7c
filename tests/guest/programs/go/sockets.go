// Sockets in the file system, served by the poller: streams, datagrams, http, rpc, deadlines, half-closing, many clients.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/rpc"
	"os"
	"strings"
	"sync"
	"time"
)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

type Arithmetic struct{}

func (Arithmetic) Multiply(pair [2]int, product *int) error {
	if pair[1] == 0 {
		return errors.New("nothing to do")
	}
	*product = pair[0] * pair[1]
	return nil
}

func echo() {
	listener, err := net.Listen("unix", "echo.sock")
	check(err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(conn, conn); conn.Close() }()
		}
	}()
	var group sync.WaitGroup
	sizes := make([]int64, 30)
	for i := range sizes {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			conn, err := net.Dial("unix", "echo.sock")
			check(err)
			defer conn.Close()
			go func() {
				io.Copy(conn, strings.NewReader(strings.Repeat("x", i*20000)))
				conn.(*net.UnixConn).CloseWrite()
			}()
			sizes[i], err = io.Copy(io.Discard, conn)
			check(err)
		}(i)
	}
	group.Wait()
	fmt.Println(sizes)
	conn, err := net.Dial("unix", "echo.sock")
	check(err)
	check(conn.SetDeadline(time.Now().Add(5 * time.Millisecond)))
	_, err = conn.Read(make([]byte, 1))
	timeout, ok := err.(net.Error)
	fmt.Println(ok && timeout.Timeout(), conn.RemoteAddr(), listener.Addr().Network())
	conn.Close()
	listener.Close()
	_, err = net.Dial("unix", "echo.sock")
	fmt.Println(err)
	_, err = net.Listen("unix", "missing/x.sock")
	fmt.Println(err)
}

func datagrams() {
	one, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "one.sock", Net: "unixgram"})
	check(err)
	two, err := net.DialUnix("unixgram", &net.UnixAddr{Name: "two.sock", Net: "unixgram"}, one.LocalAddr().(*net.UnixAddr))
	check(err)
	for i := 0; i < 3; i++ {
		fmt.Fprintf(two, "message %d", i)
	}
	buffer := make([]byte, 100)
	for i := 0; i < 3; i++ {
		n, from, err := one.ReadFromUnix(buffer)
		fmt.Printf("%q %v %v\n", buffer[:n], from, err)
	}
}

func web() {
	listener, err := net.Listen("unix", "http.sock")
	check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("/size", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %d", r.Method, n)
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < 5; i++ {
			fmt.Fprintf(w, "part %d;", i)
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	server := &http.Server{Handler: mux}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", "http.sock")
		},
	}}
	get := func(path string) string {
		response, err := client.Get("http://host" + path)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return fmt.Sprint(response.StatusCode, " ", string(body))
	}
	fmt.Println(get("/size"), get("/slow"), get("/missing"), get("/panic"))
	response, err := client.Post("http://host/size", "text/plain", strings.NewReader(strings.Repeat("y", 3_000_000)))
	check(err)
	dump, err := httputil.DumpResponse(response, true)
	check(err)
	fmt.Printf("%q\n", dump[len(dump)-12:])
	var group sync.WaitGroup
	replies := make([]string, 100)
	for i := range replies {
		group.Add(1)
		go func(i int) { defer group.Done(); replies[i] = get("/size") }(i)
	}
	group.Wait()
	fmt.Println(strings.Count(strings.Join(replies, ";"), "200 GET 0"))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, "GET", "http://host/hang", nil)
	_, err = client.Do(request)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	client.CloseIdleConnections()
	check(server.Shutdown(context.Background()))
	fmt.Println(<-served)
}

func calls() {
	server := rpc.NewServer()
	check(server.Register(Arithmetic{}))
	here, there := net.Pipe()
	go server.ServeConn(there)
	client := rpc.NewClient(here)
	var product int
	fmt.Println(client.Call("Arithmetic.Multiply", [2]int{6, 7}, &product), product)
	fmt.Println(client.Call("Arithmetic.Multiply", [2]int{6, 0}, &product))
	client.Close()
}

func main() {
	echo()
	datagrams()
	web()
	calls()
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() {
		fmt.Println("stdin", scanner.Text())
	}
}
