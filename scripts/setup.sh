# shellcheck shell=bash
# Sourced by ./run and ./test: what they need is installed, then built. Needs bash and the
# workspace's root as the current folder.

target="${CARGO_TARGET_DIR:-$PWD/target}"
export PATH="$HOME/.cargo/bin:$PATH"

heading() {
	printf '\n== %s\n' "$*" >&2
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install_packages DEBIAN_PACKAGES [BREW_PACKAGES]
install_packages() {
	heading "Installing $1"
	if command -v apt-get >/dev/null 2>&1; then
		# shellcheck disable=SC2086 # a list of packages
		as_root apt-get install -y --no-install-recommends $1 >&2 ||
			{ as_root apt-get update >&2 && as_root apt-get install -y --no-install-recommends $1 >&2; }
	elif command -v brew >/dev/null 2>&1; then
		# shellcheck disable=SC2086
		brew install ${2:-$1} >&2
	else
		echo "$1 is missing, and neither apt-get nor brew is here to install it: please do." >&2
		exit 1
	fi
}

# need COMMAND DEBIAN_PACKAGES [BREW_PACKAGES]: installs them unless the command is there.
need() {
	command -v "$1" >/dev/null 2>&1 || install_packages "${@:2}"
}

# Kafka needs Java 17; what Debian and Ubuntu have of it or later differs by their year.
need_java() {
	local version
	version="$( (java -version 2>&1 || true) | sed -n 's/.*version "\([0-9]*\).*/\1/p')"
	if [ "${version:-0}" -ge 17 ]; then return; fi
	install_packages openjdk-17-jre-headless openjdk || install_packages openjdk-21-jre-headless
}

# chosen_port FILE [PORT]: the port given, or the one in the file, or one that is free now; kept in the file.
chosen_port() {
	local port="${2:-}"
	if [ -z "$port" ] && [ -f "$1" ]; then port="$(cat "$1")"; fi
	while [ -z "$port" ]; do
		# Below those that the kernel gives to connections.
		port=$((RANDOM % 12000 + 20000))
		if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then port=""; fi
	done
	echo "$port" | tee "$1"
}

# One that has ended and that nobody has waited for yet is not running.
is_running() {
	case "$(ps -o stat= -p "$1" 2>/dev/null)" in
	"" | Z*) return 1 ;;
	esac
}

backends=()

# backend NAME FOLDER: starts scripts/NAME and waits for its address, in $address.
backend() {
	need ps procps
	"scripts/$1" "$2/$1" >"$2/$1.address" 2>"$2/$1.said" &
	backends+=("$!")
	until [ -s "$2/$1.address" ]; do
		if ! is_running "$!"; then
			cat "$2/$1.said" >&2
			return 1
		fi
		sleep 0.2
	done
	# shellcheck disable=SC2034 # for whoever called
	address="$(cat "$2/$1.address")"
}

end_backends() {
	local pid
	for pid in ${backends[@]+"${backends[@]}"}; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	backends=()
}

need_rust() {
	if ! command -v cargo >/dev/null 2>&1; then
		need curl "curl ca-certificates" curl
		heading "Installing Rust"
		curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
			sh -s -- -y --no-modify-path --profile minimal --default-toolchain none >&2
	fi
	# The first cargo command would fetch the toolchain of rust-toolchain.toml by itself, but not the
	# wasm target and the standard library's source for one that was there before.
	if command -v rustup >/dev/null 2>&1 &&
		! { rustup target list --installed && rustup component list --installed; } 2>/dev/null |
		grep -cxE 'wasm32-unknown-unknown|rust-src' | grep -qx 2; then
		heading "Installing the Rust toolchain"
		cargo --version >&2
		rustup target add wasm32-unknown-unknown >&2
		rustup component add rust-src >&2
	fi
}

# Playwright needs Node.js 20, and Debian 12 has 18.
need_node() {
	need node "nodejs npm" node
	need npm npm node
	if node -e 'process.exit(Number.parseInt(process.versions.node) < 20 ? 0 : 1)'; then
		if [ ! -x "$target/node/node_modules/.bin/node" ]; then
			heading "Installing a newer Node.js"
			npm install --prefix "$target/node" --no-audit --no-fund node@22 >&2
		fi
		export PATH="$target/node/node_modules/.bin:$PATH"
	fi
}

# For what Rust brings along in C; make and zlib are librdkafka's, which the server holds for clusters.
need_c() {
	need cc "gcc libc6-dev" gcc
	need make make make
	if ! echo '#include <zlib.h>' | cc -E - >/dev/null 2>&1; then install_packages zlib1g-dev zlib; fi
}

need_build_tools() {
	need_c
	need_node
	need_rust
	if ! newer end2end/node_modules/.package-lock.json end2end/package-lock.json; then
		heading "Installing npm packages"
		(cd end2end && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --ignore-scripts --no-audit --no-fund >&2)
	fi
}

# Is the first file there and not older than the second?
newer() {
	[ -e "$1" ] && [ ! "$2" -nt "$1" ]
}

# build_product release|debug: the server, and what it serves. Says nothing when all is built.
build_product() {
	local flags=(--locked --quiet) options=()
	if [ "$1" = release ]; then flags+=(--release); else options+=(--dev); fi
	if [ ! -x "$target/$1/rly-server" ] || [ ! -f "$target/site/manifest.json" ]; then
		heading "Building: the first time takes 10 to 15 minutes"
	fi
	local served="$target/site/served.json"
	cargo build "${flags[@]}" --package rly-server --package rly-build-web >&2 &&
		CARGO_TARGET_DIR="$target" "$target/$1/rly-build-web" ${options[@]+"${options[@]}"} >&2 &&
		"$target/$1/rly-server" manifest --site "$target/site" >"$served.unfinished" &&
		mv "$served.unfinished" "$served"
}
