#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The second road to a .tflite (torch → ONNX → onnx2tf → TensorFlow) against our own writer.
# Its packages get a virtual environment of their own, .venv-onnx, made only by this script: users
# without the extra get along without TensorFlow, and so do all other tests. What the extra does not
# bring (torch, pytest, this project) is read from .venv, said aloud below. A skip is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "[onnx] $*"; }
fail() { echo "[onnx] error: $*" >&2; exit 2; }

[ -x .venv/bin/python ] || fail "no .venv; run make setup first"
version=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
wanted=$(cat pyproject.toml tools/constraints.txt tools/check_onnx.sh | cksum; echo "$version")
if [ "$(cat .venv-onnx/.netbooster-setup 2>/dev/null)" != "$wanted" ]; then
    say "installing the extra [onnx] into .venv-onnx (2 GB; minutes, the first time)"
    rm -rf .venv-onnx  # half an installation, or another Python's
    .venv/bin/python -m venv .venv-onnx
    .venv/bin/python - >.venv-onnx/requirements.txt <<'PYTHON'
import pathlib, tomllib
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
print("\n".join(project["optional-dependencies"]["onnx"]))
PYTHON
    .venv-onnx/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off \
        --constraint tools/constraints.txt --requirement .venv-onnx/requirements.txt
    packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    own=$(.venv-onnx/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "$packages" >"$own/zz_netbooster_venv.pth"
    echo "$wanted" >.venv-onnx/.netbooster-setup
fi
say "TensorFlow and onnx2tf: .venv-onnx; torch, pytest and all else: .venv"
say "cross-check of both roads (a skip is a failure)"
PYTHONPATH=$PWD NETBOOSTER_REQUIRE_ONNX=1 .venv-onnx/bin/python -m pytest -q -W ignore \
    tests/deploy/quantize/test_via_onnx.py tests/deploy/quantize/test_via_onnx_padding.py \
    tests/deploy/quantize/test_second_road.py "$@"
