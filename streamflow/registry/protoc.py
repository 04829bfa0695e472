"""The descriptors of schemas of Protobuf. A registry has a schema as a text, which Protobuf's own compiler reads in a
separate process, or as a FileDescriptorProto in base64, as Confluent's client for Python registers it."""

from __future__ import annotations

import base64
import binascii
import importlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError as ProtobufError

from streamflow.errors import OperationError

# files that the libraries bring along, which a registry need not have
_SHIPPED = re.compile(r"google/(protobuf|type)/[a-z_]{1,60}\.proto")
_CONFLUENT = re.compile(r"confluent/(meta|type/decimal)\.proto")
_IMPORT = re.compile(r'^\s*import\s+(?:public\s+|weak\s+)?"([^"\n]{1,300})"\s*;', re.M)
_COMPILE_S = 30.0
_ERROR_CHARS = 200


def descriptors(name: str, text: str, references: Mapping[str, str]) -> dict[str, FileDescriptorProto]:
    """The file `name` with this text, and those it builds on, by name, each after its own.

    Raises ValueError when they cannot be used, OperationError (`extra_missing`) without the compiler."""
    files = {**references, name: text}
    found = {one: _decoded(one, body) for one, body in files.items()}
    known = {one: file for one, file in found.items() if file is not None}
    return known if len(known) == len(files) else _compiled(name, files, known)


def encoded(file: FileDescriptorProto) -> str:
    """A descriptor as a registry may have it."""
    return base64.b64encode(file.SerializeToString(deterministic=True)).decode()


def shipped(name: str) -> FileDescriptorProto | None:
    """A file that comes with the libraries; None when there is none of this name."""
    if _SHIPPED.fullmatch(name):
        module = name.removesuffix(".proto").replace("/", ".") + "_pb2"
    elif _CONFLUENT.fullmatch(name):
        module = f"confluent_kafka.schema_registry.{name.removesuffix('.proto').replace('/', '.')}_pb2"
    else:
        return None
    try:
        descriptor = importlib.import_module(module).DESCRIPTOR
    except ImportError:
        return None
    return FileDescriptorProto.FromString(descriptor.serialized_pb)


def _decoded(name: str, text: str) -> FileDescriptorProto | None:
    """The descriptor in a text, under the name that others import it by; None when it is no descriptor."""
    try:
        file = FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, ProtobufError):
        return None
    file.name = name
    return file


def _compiled(
    name: str, files: Mapping[str, str], known: Mapping[str, FileDescriptorProto]
) -> dict[str, FileDescriptorProto]:
    if importlib.util.find_spec("grpc_tools") is None:
        raise OperationError(
            "extra_missing",
            "A schema of Protobuf is a text, and grpc_tools, which compiles it, is not installed. Install the "
            "wheel with the extra schemas, as README.md shows under extras.",
            retryable=False,
        )
    given: dict[str, FileDescriptorProto] = {}
    for one, body in files.items():
        if one in known:
            _give(known[one], known, given)
        else:
            for imported in _IMPORT.findall(body):
                if imported not in files and (file := shipped(imported)) is not None:
                    _give(file, known, given)
    with tempfile.TemporaryDirectory(prefix="streamflow-protoc-") as place:
        folder, out = Path(place, "files"), Path(place, "out")
        folder.mkdir()
        for one, body in files.items():
            if one not in known:
                path = folder / _inside(one)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(body, encoding="utf-8")
        inputs = Path(place, "given")
        inputs.write_bytes(FileDescriptorSet(file=given.values()).SerializeToString())
        command = [sys.executable, "-I", "-m", "grpc_tools.protoc", f"--proto_path={folder}"]
        command += [f"--descriptor_set_in={inputs}"] if given else []
        command += ["--include_imports", f"--descriptor_set_out={out}", _inside(name)]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_COMPILE_S
            )
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"it takes more than {_COMPILE_S:.0f} s to compile") from error
        if done.returncode:
            said = " ".join(done.stderr.replace(f"{folder}/", "").split())[:_ERROR_CHARS]
            raise ValueError(f"Protobuf's compiler refuses it ({said})")
        return {file.name: file for file in FileDescriptorSet.FromString(out.read_bytes()).file}


def _give(
    file: FileDescriptorProto, known: Mapping[str, FileDescriptorProto], given: dict[str, FileDescriptorProto]
) -> None:
    """Adds a descriptor to those that the compiler is given, after what it imports."""
    if file.name in given:
        return
    for imported in file.dependency:
        if (other := known.get(imported) or shipped(imported)) is not None:
            _give(other, known, given)
    given[file.name] = file


def _inside(name: str) -> str:
    """The path of a file within a folder. Raises ValueError for one that would leave it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name.startswith("-") or "\0" in name or not path.parts:
        raise ValueError(f"it imports {name[:100]!r}, which is no path of a file")
    return str(path)
