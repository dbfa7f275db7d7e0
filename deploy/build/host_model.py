# SPDX-License-Identifier: Apache-2.0
"""The generated C on the host: the same sources, compiled with the host's compiler."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from deploy.codegen import Plan
from deploy.core.errors import DeployError
from deploy.core.places import kernel_includes, kernel_sources

FLAGS = ("-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fPIC")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
_BATCH = Path(__file__).resolve().parent / "host" / "nb_host_batch.c"
_SECONDS = 600


def _compiler() -> str:
    for candidate in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if candidate and shutil.which(candidate):
            return candidate
    raise DeployError(
        "no C compiler for the host; install one (sudo apt-get install build-essential, "
        "or xcode-select --install)"
    )


def _run(command: list[str]) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeployError(f"{command[0]} failed: {error}") from error
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        first = next((line for line in lines if "error" in line), lines[0] if lines else "")
        raise DeployError(f"{command[0]} ended with {result.returncode}: {first.strip()}")


def _flags(generated: Path | None, sanitize: bool) -> list[str]:
    flags = [*FLAGS, *(SANITIZERS if sanitize else ()), *kernel_includes()]
    return [*flags, f"-I{generated}"] if generated is not None else flags


def build_host_kernels(folder: Path, *, sanitize: bool = False) -> Path:
    """Compile the kernels once, for many calls of :func:`build_host`.

    Returns:
        A static library in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    objects = []
    for source in kernel_sources(".c"):
        target = folder / (source.stem + ".o")
        _run([_compiler(), *_flags(None, sanitize), "-c", str(source), "-o", str(target)])
        objects.append(str(target))
    archive = folder / "libnb_kernels.a"
    archive.unlink(missing_ok=True)
    _run(["ar", "rcs", str(archive), *objects])
    return archive


def build_host(
    generated: Path, out: Path, *, sanitize: bool = False, kernels: Path | None = None
) -> Path:
    """Compile a generated model for the host.

    Args:
        generated: the folder that compile_model wrote.
        out: the file to write: a shared library, or with ``sanitize`` a program.
        sanitize: build with the address and undefined-behaviour sanitizers.
        kernels: what :func:`build_host_kernels` returned (with the same ``sanitize``), to save
            time.

    Returns:
        ``out``, for :class:`HostModel`.

    Raises:
        DeployError: there is no compiler, or it fails.
    """
    sources = [generated / "model.c", generated / "model_weights.c", _BATCH]
    for source in sources:
        if not source.exists():
            raise DeployError(f"{source} is missing; run `netbooster compile` first")
    if kernels is None:
        sources += kernel_sources(".c")
    else:
        sources.append(kernels)
    out.parent.mkdir(parents=True, exist_ok=True)
    kind = ["-DNB_HOST_MAIN"] if sanitize else ["-shared"]
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        target = Path(scratch) / out.name
        command = [_compiler(), *_flags(generated, sanitize), *kind]
        _run([*command, *map(str, sources), "-o", str(target)])
        os.replace(target, out)
    return out


class _TensorInfo(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.c_int32 * 4),
        ("bytes", ctypes.c_uint32),
        ("scale", ctypes.c_float),
        ("zero_point", ctypes.c_int32),
    ]


class _ModelInfo(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("sha256", ctypes.c_char_p),
        ("arena_bytes", ctypes.c_uint32),
        ("weights_bytes", ctypes.c_uint32),
        ("tables_bytes", ctypes.c_uint32),
        ("input_count", ctypes.c_uint32),
        ("output_count", ctypes.c_uint32),
        ("layer_count", ctypes.c_uint32),
        ("pushed_layers", ctypes.c_uint32),
        ("inputs", ctypes.POINTER(_TensorInfo)),
        ("outputs", ctypes.POINTER(_TensorInfo)),
        ("row_bytes", ctypes.c_uint32),
        ("pushed_rows", ctypes.c_uint32),
    ]


_TYPES = (np.dtype(np.int8), np.dtype(np.uint8))
_Spec = tuple[np.dtype, tuple[int, ...]]


def _load(path: Path) -> ctypes.CDLL:
    """Load through a copy: the loader would give an older library of the same path again."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.so"
        shutil.copyfile(path, copy)
        copy.chmod(0o755)
        return ctypes.CDLL(str(copy))


class HostModel:
    """A model that :func:`build_host` compiled, ready to run.

    Attributes:
        inputs, outputs: (element type, shape with batch 1) of each.
        input_shape, output_shape: the first of them.
    """

    def __init__(self, path: Path) -> None:
        """Load the shared library, or prepare to run the sanitized program.

        Raises:
            DeployError: the file is missing or is no host build of a model.
        """
        self.path = path
        self._library: ctypes.CDLL | None = None
        if not path.exists():
            raise DeployError(f"{path} is missing; build it with build_host")
        try:
            self._library = _load(path)
            info = _ModelInfo.in_dll(self._library, "nb_model")
            self.inputs = [self._spec(info.inputs[i]) for i in range(info.input_count)]
            self.outputs = [self._spec(info.outputs[i]) for i in range(info.output_count)]
            self._batch = self._library.nb_host_batch
            self._batch.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32]
            self._batch.restype = None
        except (OSError, ValueError, AttributeError) as error:
            if self._library is not None:
                raise DeployError(f"{path} is no host build of a model: {error}") from error
            self._describe(error)
        self.input_shape = self.inputs[0][1]
        self.output_shape = self.outputs[0][1]

    @staticmethod
    def _spec(info: _TensorInfo) -> _Spec:
        return _TYPES[info.type], tuple(info.shape[: info.rank])

    def _describe(self, cause: Exception) -> None:
        result = self._execute(b"", "info")
        self.inputs, self.outputs = [], []
        for line in result.decode().splitlines():
            what, kind, *shape = line.split()
            target = self.inputs if what == "input" else self.outputs
            target.append((_TYPES[int(kind)], tuple(int(v) for v in shape)))
        if not self.inputs or not self.outputs:
            raise DeployError(f"{self.path} is no host build of a model: {cause}") from cause

    def _execute(self, stdin: bytes, *arguments: str) -> bytes:
        try:
            result = subprocess.run(
                [str(self.path.resolve()), *arguments], input=stdin, capture_output=True,
                timeout=_SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeployError(f"{self.path} does not run: {error}") from error
        if result.returncode:
            lines = [li for li in result.stderr.decode(errors="replace").splitlines() if li.strip()]
            reason = next((li for li in lines if "rror" in li), f"code {result.returncode}")
            raise DeployError(f"{self.path}: {reason.strip()}")
        return result.stdout

    def invoke(self, images: np.ndarray) -> np.ndarray:
        """Run a model with one input over one item or many.

        Args:
            images: [n, ...] of the input's type, where [...] is the input's shape after its
                leading 1.

        Returns:
            [n, ...] of the first output.

        Raises:
            DeployError: type or shape do not fit.
        """
        return self.invoke_all([images])[0]

    def layer_outputs(self, plan: Plan, image: np.ndarray) -> dict[str, np.ndarray]:
        """What the layers wrote for one item, raw bytes by tensor name.

        Steps run one by one: a layer, or a chain of layers that takes turns row by row. What is
        then made is copied before the next may overwrite it; what a chain keeps inside is not in
        the answer.

        Args:
            plan: of the folder from which the library was built.
            image: [...] or [1, ...] of the first input's type.
        """
        library = self._library
        if library is None or len(self.inputs) != 1 or plan.input_mode != "image":
            raise DeployError(
                f"{self.path}: layers need a host library of a model with one whole input"
            )
        library.nb_model_input.restype = ctypes.c_void_p
        library.nb_model_input.argtypes = [ctypes.c_uint32]
        address = library.nb_model_input(0)
        content = np.ascontiguousarray(image).tobytes()
        ctypes.memmove(address, content, plan.input.bytes)
        arena = address - plan.input.offset
        library.nb_model_run.restype = ctypes.c_uint32
        library.nb_model_run.argtypes = [ctypes.c_uint32]
        found = {}
        following = 0
        while following < len(plan.layers):
            following = library.nb_model_run(following)
            for tensor in plan.tensors:
                if tensor.made != following - 1 or tensor.resident_bytes != tensor.bytes:
                    continue
                runs = range(0, tensor.bytes // tensor.run * tensor.pitch, tensor.pitch)
                raw = b"".join(
                    ctypes.string_at(arena + tensor.offset + begin, tensor.run) for begin in runs
                )
                found[tensor.name] = np.frombuffer(raw, np.uint8)
        return found

    def invoke_all(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Run over ``n`` items: an array [n, ...] for each input gives one for each output."""
        if len(inputs) != len(self.inputs):
            raise DeployError(f"{self.path}: {len(self.inputs)} inputs, {len(inputs)} were given")
        count = len(inputs[0])
        flat = []
        for value, (dtype, shape) in zip(inputs, self.inputs, strict=True):
            item = shape[1:] if shape and shape[0] == 1 else shape
            if value.dtype != dtype or value.shape != (count, *item):
                raise DeployError(
                    f"{self.path}: an input is {value.dtype} {list(value.shape)}, "
                    f"not {dtype} {[count, *item]}"
                )
            flat.append(np.ascontiguousarray(value).reshape(count, -1).view(np.uint8))
        items = np.ascontiguousarray(np.concatenate(flat, axis=1))
        sizes = [dtype.itemsize * int(np.prod(shape)) for dtype, shape in self.outputs]
        results = np.empty((count, sum(sizes)), np.uint8)
        if self._library is not None:
            self._batch(items.ctypes.data, results.ctypes.data, count)
        else:
            raw = self._execute(items.tobytes())
            results = np.frombuffer(raw, np.uint8).reshape(count, sum(sizes))
        outputs, start = [], 0
        for size, (dtype, shape) in zip(sizes, self.outputs, strict=True):
            item = shape[1:] if shape and shape[0] == 1 else shape
            part = np.ascontiguousarray(results[:, start : start + size])
            outputs.append(part.view(dtype).reshape(count, *item))
            start += size
        return outputs
