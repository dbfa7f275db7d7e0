#!/usr/bin/env bash
# The second road to a .tflite (torch → ONNX → onnx2tf → TensorFlow) against our own writer.
# Its packages get a virtual environment of their own, .venv-onnx, which sees those of .venv: users
# without the extra get along without TensorFlow, and so do all other tests. A skip is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -x .venv/bin/python ] || { echo "[onnx] error: run make setup first" >&2; exit 2; }
wanted=$(cat pyproject.toml tools/constraints.txt tools/check_onnx.sh | cksum)
if [ "$(cat .venv-onnx/.netbooster-setup 2>/dev/null)" != "$wanted" ]; then
    echo "[onnx] installing the extra [onnx] into .venv-onnx (2 GB, the first time)"
    [ -x .venv-onnx/bin/python ] || .venv/bin/python -m venv .venv-onnx
    packages=$(.venv/bin/python -c 'import pathlib, sysconfig; print(sysconfig.get_path("purelib"))')
    own=$(.venv-onnx/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    .venv/bin/python - >.venv-onnx/requirements.txt <<'PYTHON'
import pathlib, tomllib
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
print("\n".join(project["optional-dependencies"]["onnx"]))
PYTHON
    .venv-onnx/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off \
        --constraint tools/constraints.txt --requirement .venv-onnx/requirements.txt
    echo "$packages" >"$own/zz_netbooster_venv.pth"
    echo "$wanted" >.venv-onnx/.netbooster-setup
fi
NETBOOSTER_REQUIRE_ONNX=1 .venv-onnx/bin/python -m pytest tests/deploy/test_via_onnx.py "$@"
