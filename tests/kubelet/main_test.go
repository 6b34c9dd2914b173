// Package kubelet runs the kubelet's own credential provider code against the
// built keyring-credential-provider.
//
//	KCP_BINARY=../../target/release/keyring-credential-provider go test ./...
//
// KCP_BINARY is required: without it every test fails, none is skipped.
// KCP_VECTORS names the recorded verdicts of the kubelet and defaults to
// ../data/kubelet.json. The tests need a Unix system with /bin/sh, no network
// and no privileges.
//
// This file reads that environment and starts the tests.
package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// binary is the absolute path of the program under test.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == roleKubelet {
		runKubelet(os.Stdin, os.Stdout)
		return
	}
	path, err := findBinary(os.Getenv("KCP_BINARY"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	binary = path
	os.Exit(m.Run())
}

func findBinary(path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("KCP_BINARY is not set: it must name the built keyring-credential-provider")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("KCP_BINARY: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("KCP_BINARY: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("KCP_BINARY: %s is no executable file", path)
	}
	return path, nil
}
