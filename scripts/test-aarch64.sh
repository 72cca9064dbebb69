#!/usr/bin/env bash
# Builds rushlight for aarch64 on an x86-64 Debian machine and runs the tests in qemu: NEON, and the newer instructions of
# the processor that AARCH64_CPU names.
#
#   scripts/test-aarch64.sh [argument of cargo test]...     as root; without arguments: --no-default-features --lib
#
# Debian sid packages the standard library for aarch64, so that registries of packages suffice. The script makes a sid in the
# folder AARCH64 (.aarch64: 2.4 GB and cargo's output), with rustc, that library, a cross-linker and qemu. Beyond that folder it
# only installs debootstrap. Mounts are in a namespace that ends with the script. Remove the folder to start over.
set -euo pipefail

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${AARCH64:-$source/.aarch64}
cpu=${AARCH64_CPU:-max}
target=aarch64-unknown-linux-gnu
packages=(cargo rustc libstd-rust-dev:arm64 gcc g++ gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross
    qemu-user)

# Run the script again, in namespaces of its own.
if [ -z "${AARCH64_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || { echo "must be root, who may chroot" >&2; exit 1; }
    command -v debootstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends debootstrap; }
    export AARCH64_INSIDE=1
    exec unshare --mount --pid --fork --kill-child "$0" "$@"
fi

root=$folder/sid
# Runs a command in the sid, with the part of the environment that it needs.
inside() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@"
}

mkdir -p "$folder"
if [ ! -e "$folder/.base" ]; then
    rm -rf --one-file-system "$root"
    debootstrap --variant=minbase sid "$root"
    touch "$folder/.base"
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
# The sid reaches the registries as this machine does.
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
mkdir -p "$root/etc/ssl/certs" "$root/cargo" "$root/src"
[ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
config=${CARGO_HOME:-$HOME/.cargo}/config.toml
[ ! -e "$config" ] || cp "$config" "$root/cargo/config.toml"

if [ "$(cat "$folder/.packages" 2>/dev/null)" != "${packages[*]}" ]; then
    # A mirror may lag behind the date to which its index says it is valid; signatures are checked all the same.
    printf '%s\n' 'Acquire::Check-Valid-Until "false";' 'APT::Install-Recommends "false";' 'Acquire::Languages "none";' \
        >"$root/etc/apt/apt.conf.d/90aarch64"
    inside dpkg --add-architecture arm64
    inside apt-get update -qq
    inside apt-get install -y -qq "${packages[@]}"
    inside apt-get clean
    echo "${packages[*]}" >"$folder/.packages"
fi

mount --bind "$source" "$root/src"
mount -o remount,bind,ro "$root/src"
[ $# -gt 0 ] || set -- --no-default-features --lib
inside rustc --version
inside qemu-aarch64 --version | head -1
# The real models take too long in an emulator, unless they are asked for.
inside CARGO_HOME=/cargo CARGO_TARGET_DIR=/target CARGO_BUILD_JOBS="${CARGO_BUILD_JOBS:-$(nproc)}" RUST_BACKTRACE=1 \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu $cpu" \
    CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++ \
    RUSHLIGHT_CPU="${RUSHLIGHT_CPU:-}" RUSHLIGHT_TEST_MODELS="${RUSHLIGHT_TEST_MODELS:-/none}" \
    bash -c 'cd /src && exec cargo test --locked --target "$@"' cargo-test "$target" "$@"
