"""The recurrence as Triton programs: a program runs one tile of a batch of one member through all time steps.

Only ``nprnn.ops.gpu`` imports this file, for it needs triton. Axes of tiles, as in the comments below:

    R rows of the batch    U hidden units, padded to a power of two    K a block of U, where all of it would not fit

The step matrix stays on the multiprocessor from the first step to the last (``resident_*``), or, where it is too large,
comes from the second-level cache at every step, block by block (``streamed_*``). What a step needs of x, y and dy does
not depend on the step before it, so it is asked for one step ahead: in a chain of small steps waiting is all there is.
``WIDEN`` is for the interpreter, whose products take no bfloat16.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Triton would compile a kernel of its own for a count of 1, and one for each multiple of 16.
_COUNTS = ("steps", "batch", "linear_units", "members", "x_step", "dy_step", "driven_step")


@triton.jit
def _activation(s, units, linear_units, TANH: tl.constexpr):
    """f(s) [R,U]: relu or tanh, and the identity on the first units."""
    if TANH:
        # exp of what is not positive: it cannot overflow.
        e = tl.exp(-2 * tl.abs(s))
        bent = tl.where(s < 0, e - 1, 1 - e) / (1 + e)
    else:
        # NaN is not <= 0, and stays.
        bent = tl.where(s <= 0, 0.0, s)
    return tl.where(units[None, :] < linear_units, s, bent)


@triton.jit
def _through(da, y, units, linear_units, TANH: tl.constexpr):
    """f'(s) da [R,U], f'(s) as a function of y = f(s)."""
    if TANH:
        bent = da * (1 - y * y)
    else:
        bent = tl.where(y > 0, da, 0.0)
    return tl.where(units[None, :] < linear_units, da, bent)


@triton.jit
def _driven(x, weight_ih, bias_tile, rows_in, units, units_in, more, INPUTS: tl.constexpr):
    """W_ih x_t + b [R,U] of a step, from x_t [R,I]; where ``INPUTS`` is 0, x [R,U] is that already."""
    if INPUTS == 0:
        s = tl.load(x, mask=rows_in[:, None] & units_in[None, :] & more, other=0.0).to(tl.float32)
    else:
        s = bias_tile[None, :]
        for i in tl.static_range(INPUTS):
            x_i = tl.load(x + i, mask=rows_in & more, other=0.0).to(tl.float32)
            w_i = tl.load(weight_ih + units * INPUTS + i, mask=units_in, other=0.0).to(tl.float32)
            s += x_i[:, None] * w_i[None, :]
    return s


@triton.jit(do_not_specialize=_COUNTS)
def resident_forward(
    x,  # [E,T,B,I], or the driven [E,T,B,U] where INPUTS is 0
    h0,  # [E,B,H]
    weight_ih,  # [E,H,I]
    weight_hh,  # [E,H,H]
    bias,  # [E,H]
    lengths,  # [E,B]
    y,  # [E,T,B,H], to be filled
    h_n,  # [E,B,H], to be filled
    x_member,
    x_step,
    x_row,
    h0_member,
    ih_member,
    hh_member,
    bias_member,
    lengths_member,
    steps,
    batch,
    hidden,
    linear_units,
    INPUTS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_LENGTHS: tl.constexpr,
    TANH: tl.constexpr,
    REVERSE: tl.constexpr,
    TILE: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """y_t = f(W_ih x_t + W_hh y_{t-1} + b); beyond a sequence's length y is 0 and the state stands still."""
    member = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * TILE + tl.arange(0, TILE)
    units = tl.arange(0, PADDED)
    rows_in, units_in = rows < batch, units < hidden
    inside = rows_in[:, None] & units_in[None, :]
    # [k, u] is W_hh[u, k], so that a row of states times it is the next row.
    square = units_in[:, None] & units_in[None, :]
    step_matrix = tl.load(weight_hh + member * hh_member + units[None, :] * hidden + units[:, None], square, other=0.0)
    if WIDEN:
        step_matrix = step_matrix.to(tl.float32)
    bias_tile = tl.full((PADDED,), 0.0, tl.float32)
    if HAS_BIAS and INPUTS > 0:
        bias_tile = tl.load(bias + member * bias_member + units, units_in, other=0.0).to(tl.float32)
    end = tl.full((TILE,), 0, tl.int64)
    if HAS_LENGTHS:
        end = tl.load(lengths + member * lengths_member + rows, rows_in, other=0)

    tile = rows.to(tl.int64)[:, None] * hidden + units[None, :]
    h = tl.load(h0 + member * h0_member + tile, inside, other=0.0).to(tl.float32)
    slab = batch.to(tl.int64) * hidden
    first = 0
    x_forth, y_forth = x_step.to(tl.int64), slab
    if REVERSE:
        first = steps - 1
        x_forth, y_forth = -x_forth, -slab
    weight_ih += member * ih_member
    y_at = y + (member * steps + first) * slab + tile
    x_at = x + member * x_member + first * x_step.to(tl.int64)
    if INPUTS == 0:
        x_at += rows.to(tl.int64)[:, None] * x_row + units[None, :]
    else:
        x_at += rows.to(tl.int64) * x_row
    s = _driven(x_at, weight_ih, bias_tile, rows_in, units, units_in, True, INPUTS)
    for step in range(steps):
        x_at += x_forth
        ahead = _driven(x_at, weight_ih, bias_tile, rows_in, units, units_in, step + 1 < steps, INPUTS)
        s = tl.dot(h.to(step_matrix.dtype), step_matrix, s, input_precision=PRECISION)
        new = _activation(s, units, linear_units, TANH)
        # What the next step takes is what is stored, rounded where it is stored in half precision.
        new = new.to(y.dtype.element_ty).to(tl.float32)
        if HAS_LENGTHS:
            t = steps - 1 - step if REVERSE else step
            alive = (t < end)[:, None]
            h = tl.where(alive, new, h)
            new = tl.where(alive, new, 0.0)
        else:
            h = new
        tl.store(y_at, new.to(y.dtype.element_ty), inside)
        y_at += y_forth
        s = ahead
    tl.store(h_n + member * slab + tile, h.to(h_n.dtype.element_ty), inside)


@triton.jit(do_not_specialize=_COUNTS)
def resident_backward(
    dy,  # [E,T,B,H]
    dh_n,  # [E,B,H]
    weight_hh,  # [E,H,H]
    lengths,  # [E,B]
    y,  # [E,T,B,H]
    dz,  # [E,T,B,H], to be filled
    dh0,  # [E,B,H], to be filled
    dy_member,
    dy_step,
    dy_row,
    dh_n_member,
    hh_member,
    lengths_member,
    steps,
    batch,
    hidden,
    linear_units,
    HAS_DY: tl.constexpr,
    HAS_DH_N: tl.constexpr,
    HAS_LENGTHS: tl.constexpr,
    TANH: tl.constexpr,
    REVERSE: tl.constexpr,
    TILE: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """dz_t = f'(s_t) (dy_t + W_hh^T dz_{t+1}), from the last step to the first."""
    member = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * TILE + tl.arange(0, TILE)
    units = tl.arange(0, PADDED)
    rows_in, units_in = rows < batch, units < hidden
    inside = rows_in[:, None] & units_in[None, :]
    square = units_in[:, None] & units_in[None, :]
    step_matrix = tl.load(weight_hh + member * hh_member + units[:, None] * hidden + units[None, :], square, other=0.0)
    if WIDEN:
        step_matrix = step_matrix.to(tl.float32)
    end = tl.full((TILE,), 0, tl.int64)
    if HAS_LENGTHS:
        end = tl.load(lengths + member * lengths_member + rows, rows_in, other=0)

    tile = rows.to(tl.int64)[:, None] * hidden + units[None, :]
    slab = batch.to(tl.int64) * hidden
    dh = tl.full((TILE, PADDED), 0.0, tl.float32)
    if HAS_DH_N:
        dh = tl.load(dh_n + member * dh_n_member + tile, inside, other=0.0).to(tl.float32)
    first = steps - 1
    dy_back, back = -dy_step.to(tl.int64), -slab
    if REVERSE:
        first = 0
        dy_back, back = -dy_back, slab
    start = (member * steps + first) * slab + tile
    y_at, dz_at = y + start, dz + start
    y_t = tl.load(y_at, inside, other=0.0).to(tl.float32)
    dy_at = dy
    dy_t = tl.full((TILE, PADDED), 0.0, tl.float32)
    if HAS_DY:
        dy_at = dy + member * dy_member + first * dy_step.to(tl.int64)
        dy_at += rows.to(tl.int64)[:, None] * dy_row + units[None, :]
        dy_t = tl.load(dy_at, inside, other=0.0).to(tl.float32)
    for step in range(steps):
        more = inside & (step + 1 < steps)
        y_at += back
        y_ahead = tl.load(y_at, more, other=0.0).to(tl.float32)
        da = dh
        if HAS_DY:
            dy_at += dy_back
            da += dy_t
            dy_t = tl.load(dy_at, more, other=0.0).to(tl.float32)
        dz_t = _through(da, y_t, units, linear_units, TANH)
        if HAS_LENGTHS:
            t = step if REVERSE else steps - 1 - step
            alive = (t < end)[:, None]
            dz_t = tl.where(alive, dz_t, 0.0)
            dh = tl.where(alive, tl.dot(dz_t.to(step_matrix.dtype), step_matrix, input_precision=PRECISION), dh)
        else:
            dh = tl.dot(dz_t.to(step_matrix.dtype), step_matrix, input_precision=PRECISION)
        tl.store(dz_at, dz_t.to(dz.dtype.element_ty), inside)
        dz_at += back
        y_t = y_ahead
    tl.store(dh0 + member * slab + tile, dh.to(dh0.dtype.element_ty), inside)


@triton.jit(do_not_specialize=_COUNTS)
def streamed_forward(
    driven,  # W_ih x_t + b, [E,T,B,H]
    weight_hh,  # [E,H,H]
    lengths,  # [E,B]
    y,  # [E,T,B,H], to be filled
    states,  # [2,E,B,H], the first half h0; the state after step k is in half (k + 1) % 2
    driven_member,
    driven_step,
    driven_row,
    hh_member,
    lengths_member,
    members,
    steps,
    batch,
    hidden,
    linear_units,
    HAS_LENGTHS: tl.constexpr,
    TANH: tl.constexpr,
    REVERSE: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """As ``resident_forward``; the state goes from step to step through memory that this program alone touches."""
    member = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * TILE + tl.arange(0, TILE)
    rows_in = rows < batch
    offsets = tl.arange(0, BLOCK)
    end = tl.full((TILE,), 0, tl.int64)
    if HAS_LENGTHS:
        end = tl.load(lengths + member * lengths_member + rows, rows_in, other=0)
    row_starts = rows.to(tl.int64)[:, None] * hidden
    slab = batch.to(tl.int64) * hidden
    half = members.to(tl.int64) * slab
    weight_hh += member * hh_member
    states += member * slab
    forth = driven_step.to(tl.int64)
    for step in range(steps):
        t = steps - 1 - step if REVERSE else step
        old = states + (step % 2) * half
        new_at = states + ((step + 1) % 2) * half
        alive = (t < end)[:, None]
        for u in range(0, hidden, BLOCK):
            units = u + offsets
            units_in = units < hidden
            inside = rows_in[:, None] & units_in[None, :]
            at = driven + member * driven_member + t * forth
            s = tl.load(at + rows.to(tl.int64)[:, None] * driven_row + units[None, :], inside, other=0.0)
            s = s.to(tl.float32)
            for k in range(0, hidden, BLOCK):
                others = k + offsets
                others_in = others < hidden
                h = tl.load(old + row_starts + others[None, :], rows_in[:, None] & others_in[None, :], other=0.0)
                part = weight_hh + units[None, :] * hidden + others[:, None]
                part = tl.load(part, units_in[None, :] & others_in[:, None], other=0.0)
                if WIDEN:
                    part = part.to(tl.float32)
                s = tl.dot(h.to(part.dtype), part, s, input_precision=PRECISION)
            new = _activation(s, units, linear_units, TANH)
            seen = new
            if HAS_LENGTHS:
                h = tl.load(old + row_starts + units[None, :], inside, other=0.0).to(tl.float32)
                seen = tl.where(alive, new, 0.0)
                new = tl.where(alive, new, h)
            tl.store(new_at + row_starts + units[None, :], new.to(states.dtype.element_ty), inside)
            y_at = y + (member * steps + t) * slab + row_starts + units[None, :]
            tl.store(y_at, seen.to(y.dtype.element_ty), inside)
        # The next step reads what other threads of this program have just written.
        tl.debug_barrier()


@triton.jit(do_not_specialize=_COUNTS)
def streamed_backward(
    dy,  # [E,T,B,H]
    weight_hh,  # [E,H,H]
    lengths,  # [E,B]
    y,  # [E,T,B,H]
    dz,  # [E,T,B,H], to be filled
    states,  # [2,E,B,H] in float32, the first half dh_n; the gradient before step k is in half (k + 1) % 2
    dy_member,
    dy_step,
    dy_row,
    hh_member,
    lengths_member,
    members,
    steps,
    batch,
    hidden,
    linear_units,
    HAS_DY: tl.constexpr,
    HAS_LENGTHS: tl.constexpr,
    TANH: tl.constexpr,
    REVERSE: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """As ``resident_backward``, likewise."""
    member = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0) * TILE + tl.arange(0, TILE)
    rows_in = rows < batch
    offsets = tl.arange(0, BLOCK)
    end = tl.full((TILE,), 0, tl.int64)
    if HAS_LENGTHS:
        end = tl.load(lengths + member * lengths_member + rows, rows_in, other=0)
    row_starts = rows.to(tl.int64)[:, None] * hidden
    slab = batch.to(tl.int64) * hidden
    half = members.to(tl.int64) * slab
    weight_hh += member * hh_member
    states += member * slab
    forth = dy_step.to(tl.int64)
    for step in range(steps):
        t = step if REVERSE else steps - 1 - step
        old = states + (step % 2) * half
        new_at = states + ((step + 1) % 2) * half
        alive = (t < end)[:, None]
        now = (member * steps + t) * slab + row_starts
        for u in range(0, hidden, BLOCK):
            units = u + offsets
            inside = rows_in[:, None] & (units < hidden)[None, :]
            da = tl.load(old + row_starts + units[None, :], inside, other=0.0)
            if HAS_DY:
                at = dy + member * dy_member + t * forth + rows.to(tl.int64)[:, None] * dy_row
                da += tl.load(at + units[None, :], inside, other=0.0).to(tl.float32)
            y_t = tl.load(y + now + units[None, :], inside, other=0.0).to(tl.float32)
            dz_t = _through(da, y_t, units, linear_units, TANH)
            if HAS_LENGTHS:
                dz_t = tl.where(alive, dz_t, 0.0)
            tl.store(dz + now + units[None, :], dz_t.to(dz.dtype.element_ty), inside)
        tl.debug_barrier()
        for u in range(0, hidden, BLOCK):
            units = u + offsets
            units_in = units < hidden
            inside = rows_in[:, None] & units_in[None, :]
            dh = tl.full((TILE, BLOCK), 0.0, tl.float32)
            for k in range(0, hidden, BLOCK):
                others = k + offsets
                others_in = others < hidden
                dz_t = tl.load(dz + now + others[None, :], rows_in[:, None] & others_in[None, :], other=0.0)
                part = weight_hh + others[:, None] * hidden + units[None, :]
                part = tl.load(part, others_in[:, None] & units_in[None, :], other=0.0)
                if WIDEN:
                    part = part.to(tl.float32)
                dh = tl.dot(dz_t.to(part.dtype), part, dh, input_precision=PRECISION)
            if HAS_LENGTHS:
                dh = tl.where(alive, dh, tl.load(old + row_starts + units[None, :], inside, other=0.0))
            tl.store(new_at + row_starts + units[None, :], dh, inside)
        tl.debug_barrier()
