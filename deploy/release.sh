#!/usr/bin/env bash
# Makes a release archive: target/dist/caviar-VERSION-TARGET.tar.gz and its SHA-256 checksum.
#
#   deploy/release.sh [FOLDER]
#
# The program is linked statically, so that it runs on any Linux: against musl where Rust has that
# target (rustup target add x86_64-unknown-linux-musl) and the system its C compiler (Debian's
# musl-tools), and otherwise against the system's glibc. Nothing but crates is downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(realpath -m "${1:-target/dist}")
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
machine=$(uname -m)
musl=$machine-unknown-linux-musl
built=${CARGO_TARGET_DIR:-target}

if [ -d "$(rustc --print sysroot)/lib/rustlib/$musl" ] && command -v musl-gcc > /dev/null; then
    target=$musl
    export "CC_${target//-/_}=musl-gcc"
else
    target=$(rustc -vV | sed -n 's/^host: //p')
    echo "no target $musl here: linking against this system's glibc" >&2
    export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static"
fi
cargo build --release --locked --bin caviar --features arrow,object-store --target "$target"
program=$built/$target/release/caviar

# A program that needs a loader would not run on another system.
if readelf -l "$program" | grep -q INTERP; then
    echo "$program is not static" >&2
    exit 1
fi
"$program" --version

name=caviar-$version-$target
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/$name/completions" "$folder/$name/man"
cp "$program" LICENSE-APACHE LICENSE-MIT README.md CHANGELOG.md "$folder/$name/"
strip "$folder/$name/caviar"
cp -r deploy examples "$folder/$name/"
for shell in bash zsh fish; do
    "$program" completions "$shell" > "$folder/$name/completions/caviar.$shell"
done
"$program" man "$folder/$name/man"

mkdir -p "$out"
# The same files make the same archive, on any machine and at any time.
time=$(git log -1 --format=%cI 2> /dev/null || echo 2000-01-01)
tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mtime="$time" \
    -cf - "$name" | gzip -n9 > "$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
ls -l "$out/$name.tar.gz" "$out/$name.tar.gz.sha256"
