// LookupIPAddr, of Go's own resolver or through cgo: "name address" or "name word" a line.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

func main() {
	for _, name := range os.Args[1:] {
		addresses, err := net.DefaultResolver.LookupIPAddr(context.Background(), name)
		var failure *net.DNSError
		switch {
		case errors.As(err, &failure) && failure.IsNotFound:
			fmt.Println(name, "not-found")
		case errors.As(err, &failure) && failure.IsTimeout:
			fmt.Println(name, "timeout")
		case err != nil:
			fmt.Println(name, "temporary")
		}
		for _, address := range addresses {
			fmt.Println(name, address.IP)
		}
	}
}
