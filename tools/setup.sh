#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets up what `make demo` and `make test` need: system packages (with root or sudo), a virtual
# environment in .venv, this package in it. Does nothing where everything is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "[setup] $*"; }
fail() { echo "[setup] error: $*" >&2; exit 2; }

# --- system packages -----------------------------------------------------------------------------
# program:Debian package; no associative array, because macOS has bash 3.2.
programs="arm-none-eabi-gcc:gcc-arm-none-eabi qemu-system-arm:qemu-system-arm cmake:cmake
          cc:build-essential"

missing_packages() {
    local entry packages=""
    for entry in $programs; do
        command -v "${entry%%:*}" >/dev/null || packages="$packages ${entry#*:}"
    done
    # The compiler alone has no C library headers: Debian ships newlib apart from it.
    if ! command -v arm-none-eabi-gcc >/dev/null ||
        ! echo '#include <string.h>' | arm-none-eabi-gcc -x c -E - >/dev/null 2>&1; then
        packages="$packages libnewlib-arm-none-eabi"
    fi
    echo "$packages"
}

find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
}

packages=$(missing_packages)
python=$(find_python)
if [ -z "$python" ]; then
    packages="$packages python3 python3-venv"
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    packages="$packages python3-venv"
fi

# The linter of C. Where root is at hand it is installed, too; nothing waits for it.
linter=""
if ! command -v clang-format >/dev/null && command -v apt-get >/dev/null &&
    [ "$(id -u)" -eq 0 ]; then
    linter=" clang-format"
fi

if [ -n "${packages// /}$linter" ]; then
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            as_root=sudo
        else
            as_root=none
        fi
    fi
    if ! command -v apt-get >/dev/null || [ "$as_root" = none ]; then
        fail "missing:$packages
        Debian, Ubuntu:  sudo apt-get install$packages
        macOS:           brew install qemu cmake python@3.13 && brew install --cask gcc-arm-embedded
        then run the same command again"
    fi
    say "installing system packages:$packages$linter"
    $as_root apt-get update -qq
    # shellcheck disable=SC2086  # a list of packages
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends \
        $packages $linter >/dev/null
    python=$(find_python)
    [ -n "$python" ] || fail "no Python 3.11 to 3.13 found; install one and run this again"
else
    say "system packages: present"
fi

# --- virtual environment -------------------------------------------------------------------------
extras=dev
if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then
    extras=dev,golden
else
    say "no tflite-micro wheel for $(uname -s) $(uname -m): comparisons with TFLM will be skipped"
fi
stamp=.venv/.netbooster-setup
wanted=$(cat pyproject.toml tools/constraints.txt tools/setup.sh | cksum; echo "$extras")
if [ -x .venv/bin/netbooster ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then
    say "virtual environment: up to date (.venv)"
    exit 0
fi
if [ ! -x .venv/bin/python ]; then
    say "creating .venv with $($python --version)"
    "$python" -m venv .venv
fi
say "installing the Python packages (torch is large: minutes, the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off \
    --constraint tools/constraints.txt --editable ".[$extras]"
echo "$wanted" >$stamp
say "done"
