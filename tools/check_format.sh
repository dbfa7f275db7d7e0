#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compares all C of the product with .clang-format, where the clang-format of Debian 12 (14) is
# installed: other versions format some lines otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! clang-format --version 2>/dev/null | grep -q "version 14\\."; then
    echo "[lint] clang-format 14 is not installed: C is not checked"
    exit 0
fi
echo "[lint] clang-format"
git ls-files 'firmware/*.c' 'firmware/*.h' 'firmware/*.cc' 'deploy/*.c' 'deploy/*.h' \
    'tests/deploy/target/*.c' 'tests/deploy/target/*.h' | xargs clang-format --dry-run -Werror
