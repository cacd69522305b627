"""The memory that a program needs, counted from its jaxpr: what is alive at once, step by step, nothing compiled.

A model of what XLA does. A result that one other elementwise operation reads, and nothing else, is fused into it and
never stored; everything else is. A stored array lives until the last operation that reads it, directly or through
fused ones. An elementwise operation, and a loop, writes its results over operands of their size that die there.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var
from jax.sharding import NamedSharding

from rlsp_jax.types import PyTree

Shape = tuple[int, ...]
Size = Callable[[Any], int]  # bytes of the type of a jaxpr's variable

# operations by the beginnings of their names: those that read arrays as they lie in memory, those that write such, and
# those that cannot write over what they read
READS = ("dot_general", "conv_", "scan", "while", "cond", "gather", "scatter", "sort", "top_k", "ffi_call")
WRITES = (*READS, "cum", "reduce", "arg", "dynamic_update_slice", "custom_call", "random", "threefry")
APART = ("dot_general", "conv_", "cond", "gather", "sort", "top_k", "cum", "reduce", "arg", "transpose", "concatenate")
AGAIN = ("convert_element_type",)  # what is so cheap that it is made anew for each operation that reads it
INLINED = ("pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")


def tree_bytes(tree: PyTree) -> int:
    """Bytes of a tree of arrays, or of shapes, as a whole."""
    return sum(map(array_bytes, jax.tree.leaves(tree)))


def array_bytes(array: Any, shape: Shape | None = None) -> int:
    """Bytes of an array, or of the type of a jaxpr's variable, were it of another `shape`; of a key, its data's."""
    if not hasattr(array, "shape"):
        return 0
    size = 8 if jax.dtypes.issubdtype(array.dtype, jax.dtypes.extended) else array.dtype.itemsize
    return math.prod(array.shape if shape is None else shape) * size


def device_bytes(tree: PyTree, shardings: PyTree) -> int:
    """Bytes of a tree on each device: Σ over leaves of the bytes of one shard."""

    def of_leaf(leaf, sharding: NamedSharding) -> int:
        return array_bytes(leaf, sharding.shard_shape(leaf.shape))

    return sum(jax.tree.leaves(jax.tree.map(of_leaf, tree, shardings)))


def temporary_bytes(
    fn: Callable, *arguments: PyTree, donated: Sequence[int] = (), shards: Mapping[Shape, Shape] | None = None
) -> int:
    """The most bytes that `fn` needs at once beside its arguments; results that take over donated ones are free.

    Arguments are arrays or shapes; `donated` are the numbers of those whose memory `fn` may take over. Arrays of a
    shape in `shards` are split over devices into such parts, as parameters are, and what is made in their shape.
    """
    closed = jax.make_jaxpr(fn)(*arguments)
    owners = [i for i, argument in enumerate(arguments) for _ in jax.tree.leaves(argument)]
    free = [var for var, owner in zip(closed.jaxpr.invars, owners, strict=True) if owner in donated]
    return peak(closed.jaxpr, free, lambda aval: array_bytes(aval, (shards or {}).get(getattr(aval, "shape", ()))))


# ---- what is alive ------------------------------------------------------------------------------


class Step(NamedTuple):
    """One operation of a program without nested calls: what it reads, what it writes."""

    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    kept: frozenset[int]  # of what it reads, what it cannot write over
    inner: int  # bytes that it needs while it runs, beside what it reads and writes


class Program(NamedTuple):
    """Numbered values with their sizes, and the steps that make them."""

    steps: list[Step]
    sizes: list[int]
    inputs: list[int]
    outputs: list[int]


def peak(jaxpr: Jaxpr, donated: Iterable[Var] = (), size: Size = array_bytes) -> int:
    """The most bytes alive at once beside the inputs; `donated` inputs give their memory back when they die."""
    program = flatten(jaxpr, size)
    number = dict(zip(jaxpr.invars, program.inputs, strict=True))
    return _walk(program, {number[var] for var in donated})


def _walk(program: Program, donated: set[int]) -> int:
    stored = _stored(program)
    kept = set(program.inputs) - donated
    dying: dict[int, list[int]] = {}
    for value, step in _last_reads(program, stored).items():
        if value in stored and value not in kept:
            dying.setdefault(step, []).append(value)
    alive = most = 0
    for at, step in enumerate(program.steps):
        ends = dying.get(at, [])
        written = [value for value in step.writes if value in stored]
        free = [value for value in ends if value not in step.kept and value not in step.writes]
        reused = _reused([program.sizes[v] for v in written], [program.sizes[v] for v in free])
        alive += sum(program.sizes[value] for value in written) - reused
        most = max(most, alive + step.inner)
        alive -= sum(program.sizes[value] for value in ends) - reused
    return most


def _reused(written: list[int], ends: list[int]) -> int:
    """Bytes of results that are written over operands of the same size which die here."""
    total, left = 0, sorted(ends)
    for size in written:
        if size in left:
            left.remove(size)
            total += size
    return total


def _stored(program: Program) -> set[int]:
    """The values that lie in memory: those that are not fused into the one operation that reads them."""
    readers: dict[int, list[str]] = {}
    for step in program.steps:
        for value in set(step.reads):
            readers.setdefault(value, []).append(step.name)

    def is_fused(step: Step, value: int) -> bool:
        read_by = readers.get(value, [])
        few = len(read_by) < 2 or step.name in AGAIN
        return few and not step.name.startswith(WRITES) and not any(n.startswith(READS) for n in read_by)

    written = {value for step in program.steps for value in step.writes if not is_fused(step, value)}
    return written | {*program.inputs, *program.outputs}


def _last_reads(program: Program, stored: set[int]) -> dict[int, int]:
    """Value → the number of the step after which it is not needed; outputs are needed for ever."""
    never = len(program.steps)
    last = dict.fromkeys(program.outputs, never)
    for at in range(never - 1, -1, -1):
        step = program.steps[at]
        is_fused = stored.isdisjoint(step.writes)
        until = max((last.get(value, at) for value in step.writes), default=at) if is_fused else at
        for value in step.reads:
            last[value] = max(last.get(value, 0), until)
        for value in step.writes:
            last.setdefault(value, at)
    return last


# ---- from a jaxpr --------------------------------------------------------------------------------


def flatten(jaxpr: Jaxpr, size: Size = array_bytes) -> Program:
    """A program with calls written out, without what nobody reads; a loop is a step that needs memory inside."""
    program = Program([], [], [], [])

    def new(var: Var | Literal) -> int:
        program.sizes.append(size(var.aval))
        return len(program.sizes) - 1

    def read(atoms: Iterable[Any], names: dict[Var, int]) -> list[int]:
        return [new(atom) if isinstance(atom, Literal) else names[atom] for atom in atoms]

    def inline(body: Jaxpr, names: dict[Var, int]) -> None:
        for equation in body.eqns:
            inner = _called(equation)
            if inner is None:
                names |= {var: new(var) for var in equation.outvars}
                reads, writes = read(equation.invars, names), read(equation.outvars, names)
                kept = frozenset(_kept(equation, reads))
                program.steps.append(
                    Step(equation.primitive.name, tuple(reads), tuple(writes), kept, _inner(equation, size))
                )
                continue
            inside = {var: new(var) for var in inner.constvars}
            for var, atom in zip(inner.invars, equation.invars, strict=True):
                inside[var] = new(var) if isinstance(atom, Literal) else names[atom]
            inline(inner, inside)
            for var, atom in zip(equation.outvars, inner.outvars, strict=True):
                names[var] = new(var) if isinstance(atom, Literal) else inside[atom]

    names = {var: new(var) for var in (*jaxpr.constvars, *jaxpr.invars)}
    program.inputs.extend(names[var] for var in jaxpr.invars)
    inline(jaxpr, names)
    program.outputs.extend(read(jaxpr.outvars, names))
    return program._replace(steps=_needed(program))


def _needed(program: Program) -> list[Step]:
    """The steps that the outputs depend on."""
    wanted, steps = set(program.outputs), []
    for step in reversed(program.steps):
        if not wanted.isdisjoint(step.writes):
            wanted.update(step.reads)
            steps.append(step)
    return steps[::-1]


def _called(equation: Any) -> Jaxpr | None:
    """The jaxpr that an equation calls as it is, if it does."""
    if not equation.primitive.name.startswith(INLINED):
        return None
    body = next(equation.params[name] for name in ("jaxpr", "call_jaxpr", "fun_jaxpr") if name in equation.params)
    return body.jaxpr if isinstance(body, ClosedJaxpr) else body


def _kept(equation: Any, reads: list[int]) -> list[int]:
    """Of what an equation reads, what it cannot write over: a scan makes its next carry of the last one only."""
    if equation.primitive.name == "scan":
        consts, carries = equation.params["num_consts"], equation.params["num_carry"]
        return reads[:consts] + reads[consts + carries :]
    return reads if equation.primitive.name.startswith(APART) else []


def _inner(equation: Any, size: Size) -> int:
    """Bytes that a loop or a branch needs inside, beside what it is given and returns."""
    parameters = equation.params
    match equation.primitive.name:
        case "scan":
            body = parameters["jaxpr"].jaxpr
            consts, carries = parameters["num_consts"], parameters["num_carry"]
            slices = sum(size(var.aval) for var in body.invars[consts + carries :])
            return slices + peak(body, body.invars[consts:], size)
        case "while":
            body = parameters["body_jaxpr"].jaxpr
            return peak(body, body.invars[parameters["body_nconsts"] :], size)
        case "cond":
            largest = max(peak(branch.jaxpr, (), size) for branch in parameters["branches"])
            return largest - sum(size(var.aval) for var in equation.outvars)
    return 0
