"""Our own native code: a WebAssembly module from text, compiled once a process by wasmtime.

Why not a library: no binding of BN254, and none of BLAKE2F that can stop half-way, has wheels for
all platforms we name (ADR 7). Machine code from one text is the same arithmetic everywhere, and
runs outside Python's lock.

A module has one memory, exports functions without parameters or results, and finds its arguments
in the memory: a call then costs 1 us (`_direct`). Each thread has an instance of its own.
"""

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import wasmtime
from wasmtime import _ffi as binding

MEMORY: Final = "memory"


class Instance:
    """One thread's copy of a module and its memory."""

    def __init__(self, module: wasmtime.Module, engine: wasmtime.Engine) -> None:
        self._store = wasmtime.Store(engine)
        exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        memory: Any = exports[MEMORY]
        self._functions: dict[str, Callable[[], None]] = {
            export.name: _direct(exports[export.name], self._store)
            for export in module.exports
            if isinstance(export.type, wasmtime.FuncType)
        }
        # A memory never moves: it cannot grow, its maximum is its minimum.
        size = memory.data_len(self._store)
        address = ctypes.addressof(memory.data_ptr(self._store).contents)
        self._memory = memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")

    def write(self, at: int, data: bytes) -> None:
        """Raises: ValueError outside the memory."""
        self._memory[at : at + len(data)] = data

    def read(self, at: int, length: int) -> bytes:
        assert 0 <= at <= len(self._memory) - length, "outside the memory"
        return bytes(self._memory[at : at + length])

    def call(self, name: str) -> None:
        self._functions[name]()


def _direct(function: Any, store: Any) -> Callable[[], None]:
    """The call as it is in C. The binding's own asks for the function's type and converts to and
    from it, 5 us each time, for functions that take and return nothing."""
    trap = ctypes.POINTER(binding.wasm_trap_t)()
    call, context = binding.dll.wasmtime_func_call_unchecked, store._context()
    handle, values = ctypes.byref(function._func), (binding.wasmtime_val_raw_t * 1)()
    trapped = ctypes.byref(trap)

    def run() -> None:
        failure = call(context, handle, values, 0, trapped)
        assert not failure, "compiled code stopped half-way: it is wrong"
        assert not trap, "compiled code stopped half-way: it is wrong"

    return run


class Code:
    """A module, compiled when first used (or by `compile`), and its instance for each thread."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._lock = threading.Lock()
        self._module: wasmtime.Module | None = None
        self._threads = threading.local()

    def compile(self) -> wasmtime.Module:
        with self._lock:
            if self._module is None:
                self._module = wasmtime.Module(_engine(), self._text())
            return self._module

    def instance(self) -> Instance:
        """The calling thread's."""
        found: Instance | None = getattr(self._threads, "instance", None)
        if found is None:
            found = self._threads.instance = Instance(self.compile(), _engine())
        return found


@cache
def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.wasm_wide_arithmetic = True
    # Bounds checked in the code: no signal handlers in our process, no gigabytes reserved.
    config.signals_based_traps = False
    config.memory_guard_size = 0
    config.memory_reservation = 2**20
    return wasmtime.Engine(config)
