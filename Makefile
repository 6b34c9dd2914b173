# What people and CI run. Each target installs what it lacks on Debian, or names it.

CARGO ?= cargo
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
BINARY := $(CURDIR)/target/$(HOST)/release/keyring-credential-provider
FUZZ_SECONDS ?= 5

.PHONY: all demo dist test test-rust test-secret-service test-kubelet test-node test-dist test-windows test-fuzz bench fmt lint build

all: build

build:
	@tests/tools.sh base
	$(CARGO) build --release --locked --config .cargo/release.toml

# Seals a made-up password in a throwaway store, asks as the kubelet does, and shows the answer.
demo: build
	@set -eu; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	export KEYRING_CREDENTIAL_PROVIDER_STORE="$$dir/store"; \
	"$(BINARY)" store init; \
	printf 'made-up-password' | "$(BINARY)" login docker.io -u alice --password-stdin; \
	"$(BINARY)" list; \
	"$(BINARY)" explain nginx; \
	request='{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"docker.io/library/nginx"}'; \
	echo "request: $$request"; printf 'answer:  '; echo "$$request" | "$(BINARY)" get-credentials

# What is released, in target/dist: tarball, .deb, zip, MSI, images, bills of materials, sums.
dist: build
	@tests/tools.sh dist
	@set -eu; lines=$$(KCP_WINDOWS_PROFILE=release tests/windows/build.sh); eval "$$lines"; rm -rf target/dist; \
	install/dist/dist.sh "$(BINARY)" "$$KCP_WINDOWS_BINARY" target/dist

test: lint test-rust test-secret-service test-kubelet test-node test-dist test-fuzz

# Rules, processes, faults and leaks, and the Windows program under Wine. Run as root: the suite mounts, changes owners and
# asks the kernel keyring.
test-rust: build
	@tests/tools.sh helper
	@tests/tools.sh containerd
	@set -eu; lines=$$(tests/windows/build.sh); eval "$$lines"; export KCP_WINDOWS_BINARY KCP_WINE_PREFIX; \
	KCP_RELEASE_BINARY="$(BINARY)" $(CARGO) test --locked

# The cargo feature, against a real desktop keyring.
test-secret-service:
	@tests/tools.sh secret-service
	$(CARGO) test --locked --features secret-service --test suite -- secret_service::

# The kubelet's own code asks the built program, and the one for Windows under Wine.
test-kubelet: build
	@set -eu; go=$$(tests/tools.sh kubelet | tail -n 1); \
	lines=$$(tests/windows/build.sh); eval "$$lines"; export KCP_WINDOWS_BINARY KCP_WINE_PREFIX; cd tests/kubelet; \
	KCP_BINARY="$(BINARY)" KCP_VECTORS="$(CURDIR)/tests/data/kubelet.json" "$$go" test -count=1 ./...

# The packing, with the unoptimised Windows program that the other tests have built.
test-dist: build
	@tests/tools.sh dist
	@set -eu; lines=$$(tests/windows/build.sh); eval "$$lines"; tests/dist.sh "$(BINARY)" "$$KCP_WINDOWS_BINARY"

# A whole node: the kubelet, built once, with this plugin, containerd and a registry that wants a login.
test-node: build
	@tests/tools.sh containerd
	@set -eu; go=$$(tests/tools.sh kubelet | tail -n 1); mkdir -p target/kubelet; \
	(cd tests/kubelet && "$$go" build -o "$(CURDIR)/target/kubelet/kubelet" k8s.io/kubernetes/cmd/kubelet); \
	KCP_KUBELET="$(CURDIR)/target/kubelet/kubelet" $(CARGO) test --locked --test suite -- --ignored whole_node::

# Only the Windows program under Wine.
test-windows:
	@set -eu; lines=$$(tests/windows/build.sh); eval "$$lines"; export KCP_WINDOWS_BINARY KCP_WINE_PREFIX; \
	$(CARGO) test --locked --test suite -- windows

test-fuzz:
	@tests/fuzz/run.sh $(FUZZ_SECONDS)

bench: build
	@tests/tools.sh bench
	KCP_BINARY="$(BINARY)" benches/run.sh

fmt:
	$(CARGO) fmt --all

lint:
	@tests/tools.sh base
	@tests/tools.sh lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	shellcheck tests/*.sh tests/*/*.sh benches/*.sh install/*/*.sh install/dist/deb/postinst install/dist/deb/prerm .ci/run
