"""The plain half of the fused engine: numba source that kernel.py completes.

Its text is copied to the head of a generated module, which adds the constants in
capitals and the functions that are not defined here. It is never imported: type
checkers that wrap every function of the package would break numba.

Images go through in chunks of 16. Pooled convolutions and their gradients work on one
image at a time; then the 16 images lie side by side in the lanes of a vector, which
suits layers that are too small to fill vectors by themselves.
"""
# mypy: ignore-errors

import numpy as np
from numba import njit

from hyperreps.engines.fused.vectors import (
    as_exponent,
    filled,
    fma,
    load,
    load_bytes,
    magnitude,
    square_root,
    store,
    where_equal,
    where_greater,
    with_sign,
)

# Constants that are arguments have a numpy type: numba compiles a function anew for
# every plain number that it is called with.
CHUNK = np.int64(16)
FIRST = np.int64(0)
BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-8
F = np.float32


@njit(forceinline=True)
def constant(value):
    """Returns a vector of 16 times the value."""
    return filled(F(value), 16)


@njit(forceinline=True)
def power(x):
    """e**-x for x >= 0 as n + n * q: n a power of two, q between -0.3 and 0.42.

    n is 0 beyond 87.7. q is fitted to 2**f - 1 with a relative error below 1e-8, so
    that e**-x - 1 can be had without cancellation.
    """
    x = where_greater(x, constant(88.0), constant(88.0), x)
    rate = constant(-1.44269504088896341)  # of 2, -log2(e)
    # No fraction fits beside 1.5 * 2**23: the sum is a whole number, and its lowest
    # bits are the exponent of n as float32 keeps it, 127 too high.
    whole = constant(12582912.0 + 127.0)
    shifted = fma(x, rate, whole)
    f = fma(x, rate, whole - shifted)
    p = constant(0.000154035126)
    p = fma(p, f, constant(0.00133909645))
    p = fma(p, f, constant(0.00961823836))
    p = fma(p, f, constant(0.0555035701))
    p = fma(p, f, constant(0.240226498))
    p = fma(p, f, constant(0.693147188))
    return as_exponent(shifted), p * f


@njit(forceinline=True)
def exponential(x):
    """e**-x for x >= 0."""
    n, q = power(x)
    return fma(n, q, n)


@njit(forceinline=True)
def tanh(x):
    """Value (1 - e) / (1 + e) and slope 4 e / (1 + e)**2 with e = exp(-2 |x|)."""
    one = constant(1.0)
    n, q = power(magnitude(x + x))
    e = fma(n, q, n)
    share = one / (one + e)
    value = with_sign(fma(n, q, n - one) * share, x)
    return value, constant(4.0) * e * share * share


@njit(forceinline=True)
def sigmoid(x):
    """1 / (1 + exp(-x)) and 1 minus that."""
    one = constant(1.0)
    e = exponential(magnitude(x))
    larger = one / (one + e)
    smaller = e * larger
    value = where_greater(x, constant(0.0), larger, smaller)
    return value, where_greater(x, constant(0.0), smaller, larger)


@njit(forceinline=True)
def normal(x):
    """Density and distribution function of the standard normal distribution.

    The tail is the density times Mills' ratio, a polynomial in 1 / (1 + 0.26 |x|) that
    was fitted for a relative error below 3e-8 up to |x| = 14, where the density is 0.
    """
    one, size = constant(1.0), magnitude(x)
    density = exponential(constant(0.5) * x * x) * constant(0.3989422804014327)
    t = one / fma(size, constant(0.26), one)
    p = constant(0.07646829)
    p = fma(p, t, constant(-0.38310406))
    p = fma(p, t, constant(0.63043477))
    p = fma(p, t, constant(-0.37841865))
    p = fma(p, t, constant(0.40346837))
    p = fma(p, t, constant(0.12789366))
    p = fma(p, t, constant(0.25826213))
    p = fma(p, t, constant(0.25822419))
    p = fma(p, t, constant(0.26008542))
    tail = density * p * t
    return density, where_greater(x, constant(0.0), one - tail, tail)


@njit
def activate(activation, values, slopes, start, count):
    """Applies the activation in place; its derivative goes to slopes, unless None.

    Adam divides by the size of a gradient, so that tiny slopes count as much as large
    ones: none is a difference of nearly equal numbers. `count` is a multiple of 16. The
    branch is outside the loops and costs nothing.
    """
    zero, one = constant(0.0), constant(1.0)
    if activation == TANH:
        for i in range(start, start + count, 16):
            y, slope = tanh(load(values, i, 16))
            store(values, i, y)
            if slopes is not None:
                store(slopes, i, slope)
    elif activation in (RELU, LEAKY_RELU):
        below = zero if activation == RELU else constant(0.01)
        for i in range(start, start + count, 16):
            x = load(values, i, 16)
            slope = where_greater(x, zero, one, below)
            store(values, i, x * slope)
            if slopes is not None:
                store(slopes, i, slope)
    elif activation == SIGMOID:
        for i in range(start, start + count, 16):
            y, rest = sigmoid(load(values, i, 16))
            store(values, i, y)
            if slopes is not None:
                store(slopes, i, y * rest)
    elif activation == SILU:
        for i in range(start, start + count, 16):
            x = load(values, i, 16)
            s, rest = sigmoid(x)
            store(values, i, x * s)
            if slopes is not None:
                store(slopes, i, fma(x * s, rest, s))
    elif activation == GELU:
        for i in range(start, start + count, 16):
            x = load(values, i, 16)
            density, below = normal(x)
            store(values, i, x * below)
            if slopes is not None:
                store(slopes, i, fma(x, density, below))


@njit
def multiply(values, values_at, factors, factors_at, count):
    """Multiplies values by factors in place; `count` is a multiple of 16."""
    for i in range(0, count, 16):
        product = load(values, values_at + i, 16) * load(factors, factors_at + i, 16)
        store(values, values_at + i, product)


@njit
def copy(source, target):
    """Copies a model; numba's own slices take seconds to compile."""
    for i in range(PARAMETERS):
        target[i] = source[i]


@njit
def clear(values, start, count):
    """Sets values to zero; `count` is a multiple of 8."""
    for i in range(start, start + count, 8):
        store(values, i, filled(F(0), 8))


@njit
def aligned(count):
    """Returns zeros that start on a cache line, with a line to spare at the end."""
    space = np.zeros(count + 32, np.float32)
    skipped = (-(space.ctypes.data // 4)) % 16
    return space[skipped : skipped + count + 16]


@njit
def normalize(pixels, image, scale, shift, inputs, inputs_at, copies):
    """Writes an image as float rows of ROW handed; with copies, twice.

    The second copy starts half a cache line later. A window that crosses a line in
    one copy does not in the other.
    """
    for plane in range(PLANES):
        factor = filled(scale[plane], 16)
        offset = filled(shift[plane], 16)
        for row in range(SIDE):
            pixels_at = ((image * PLANES + plane) * SIDE + row) * SIDE
            row_at = inputs_at + (plane * SIDE + row) * ROW
            left = fma(load_bytes(pixels, pixels_at, 16), factor, offset)
            right = fma(load_bytes(pixels, pixels_at + SIDE - 16, 16), factor, offset)
            store(inputs, row_at, left)
            store(inputs, row_at + SIDE - 16, right)
            if copies:
                store(inputs, row_at + COPY, left)
                store(inputs, row_at + COPY + SIDE - 16, right)


@njit
def fill_tables(weights, table_1, table_2):
    """Copies the taps of both pooled convolutions to where vectors of them are read.

    First: [plane, tap row, tap column, lane]. In vectors of 16 lanes the upper 8
    compute the next row of the output, so their taps lie one tap row lower.
    Second: [unit, column shift, tap row, entry] with a row of zeros above and below, so
    that taps moved by up to one row and column are read from one place.
    """
    for plane in range(PLANES):
        for tap_row in range(TAPS_1):
            for tap_column in range(TAPS_1):
                tap = load(
                    weights, ((plane * TAPS_1 + tap_row) * TAPS_1 + tap_column) * 8, 8
                )
                vector = (plane * TABLE_TAPS_1 + tap_row) * TAPS_1 + tap_column
                store(table_1, vector * LANES, tap)
                if LANES == 16:
                    store(table_1, (vector + TAPS_1) * LANES + 8, tap)
    for unit in range(UNITS_2):
        for tap_row in range(TAPS_2):
            weights_at = WEIGHTS_2 + (unit * TAPS_2 + tap_row) * TAPS_2 * 8
            table_at = unit * TABLE_UNIT_2 + (tap_row + 1) * TABLE_ROW_2
            for tap_column in range(TAPS_2):
                tap = load(weights, weights_at + tap_column * 8, 8)
                store(table_2, table_at + tap_column * 8, tap)
                store(table_2, table_at + TABLE_SHIFT_2 + (tap_column + 1) * 8, tap)


@njit
def collect_sums(sums_1, sums_2, gradient):
    """Moves the gradients of both pooled convolutions to the order of the weights."""
    for plane in range(PLANES):
        for unit in range(8):
            for tap_row in range(TAPS_1):
                sums_at = ((plane * 8 + unit) * TAPS_1 + tap_row) * 8
                gradient_at = (plane * TAPS_1 + tap_row) * TAPS_1 * 8 + unit
                for tap_column in range(TAPS_1):
                    gradient[gradient_at + tap_column * 8] = sums_1[
                        sums_at + tap_column
                    ]
    for row in range(UNITS_2 * TAPS_2):
        for tap_column in range(TAPS_2):
            total = load(sums_2, row * SUMS_ROW_2 + tap_column * 8, 8)
            store(gradient, WEIGHTS_2 + (row * TAPS_2 + tap_column) * 8, total)


@njit
def clear_missing(features_1, handed, count):
    """Sets what enters the lanes to zero where a chunk has fewer than 16 images."""
    clear(handed, count * HANDED, (CHUNK - count) * HANDED)
    if KEPT_1 > FEATURES_1:
        clear(features_1, count * FEATURES_1, (CHUNK - count) * FEATURES_1)


@njit
def score(features, deltas, classes, count, share):
    """Writes the gradient of the mean loss by the scores.

    Args:
        features: With the scores, [CLASSES, 16 images].
        deltas: Where their gradient goes; may be the features.
        classes: The class of each image, as float32 [16].
        count: Images that exist; the gradient of the others is zero.
        share: What an image counts in the mean, one over the batch size.

    Returns:
        The summed cross-entropy and the number of correct answers.
    """
    wanted = load(classes, 0, 16)
    best = load(features, SCORES_AT, 16)
    answer = constant(0.0)
    own = best
    for k in range(1, CLASSES):
        x = load(features, SCORES_AT + k * 16, 16)
        index = filled(F(k), 16)
        answer = where_greater(x, best, index, answer)
        best = where_greater(x, best, x, best)
        own = where_equal(wanted, index, x, own)
    # without the wanted class, whose probability minus 1 would cancel
    others = constant(0.0)
    for k in range(CLASSES):
        size = exponential(best - load(features, SCORES_AT + k * 16, 16))
        store(deltas, SCORES_AT + k * 16, size)
        wrong = where_equal(wanted, filled(F(k), 16), constant(0.0), size)
        others = others + wrong
    total = others + exponential(best - own)
    shares = np.zeros(16, np.float32)
    for lane in range(count):
        shares[lane] = share
    shares_ = load(shares, 0, 16)
    missing = constant(0.0) - others
    for k in range(CLASSES):
        size = load(deltas, SCORES_AT + k * 16, 16)
        size = where_equal(wanted, filled(F(k), 16), missing, size)
        store(deltas, SCORES_AT + k * 16, size / total * shares_)
    totals, gaps = np.empty(16, np.float32), np.empty(16, np.float32)
    hits = np.empty(16, np.float32)
    store(totals, 0, total)
    store(gaps, 0, best - own)
    store(hits, 0, where_equal(answer, wanted, constant(1.0), constant(0.0)))
    loss, correct = 0.0, 0
    for lane in range(count):
        loss += np.log(np.float64(totals[lane])) + np.float64(gaps[lane])
        correct += int(hits[lane])
    return loss, correct


@njit
def adam(weights, gradient, first, second, step, rate, decay):
    """One step as in torch.optim.Adam: bias correction, coupled weight decay."""
    keep_1, keep_2 = constant(BETA_1), constant(BETA_2)
    new_1, new_2 = constant(1 - BETA_1), constant(1 - BETA_2)
    size = filled(F(rate / (1 - BETA_1**step)), 16)
    scale = filled(F(1 / np.sqrt(1 - BETA_2**step)), 16)
    epsilon, pull = constant(EPSILON), filled(F(decay), 16)
    for i in range(0, PADDED_PARAMETERS, 16):
        w = load(weights, i, 16)
        g = fma(pull, w, load(gradient, i, 16))
        m = fma(new_1, g, keep_1 * load(first, i, 16))
        v = fma(new_2 * g, g, keep_2 * load(second, i, 16))
        store(first, i, m)
        store(second, i, v)
        store(weights, i, w - size * m / fma(square_root(v), scale, epsilon))


@njit(nogil=True, cache=True)
def train_model(
    model_weights,
    first_moment,
    second_moment,
    step,
    pixels,
    labels,
    order,
    batch_size,
    scale,
    shift,
    activation,
    rate,
    decay,
):
    """Trains one model for an epoch, in place; returns summed loss and correct answers.

    Weights and moments are in kernel order.
    """
    weights, gradient = aligned(PADDED_PARAMETERS), aligned(PADDED_PARAMETERS)
    first, second = aligned(PADDED_PARAMETERS), aligned(PADDED_PARAMETERS)
    copy(model_weights, weights)
    copy(first_moment, first)
    copy(second_moment, second)

    table_1, table_2 = aligned(TABLE_1), aligned(TABLE_2)
    sums_1, sums_2 = aligned(SUMS_1), aligned(SUMS_2)
    inputs = aligned(CHUNK * IMAGE)
    features_1, slopes_1 = aligned(CHUNK * FEATURES_1), aligned(CHUNK * FEATURES_1)
    deltas_1 = aligned(FEATURES_1)
    winners_1 = np.zeros(CHUNK * FEATURES_1, np.int32)
    handed = aligned(CHUNK * HANDED)
    winners_2 = np.zeros(CHUNK * HANDED + 8, np.int32)
    features, slopes, deltas = aligned(FEATURES), aligned(FEATURES), aligned(FEATURES)
    classes = np.zeros(16, np.float32)
    loss, correct = 0.0, 0

    visits = len(order)
    for batch in range(0, visits, batch_size):
        stop = min(batch + batch_size, visits)
        fill_tables(weights, table_1, table_2)
        clear(gradient, FIRST, PADDED_PARAMETERS)
        clear(sums_1, FIRST, SUMS_1)
        clear(sums_2, FIRST, SUMS_2)
        for chunk in range(batch, stop, CHUNK):
            count = min(CHUNK, stop - chunk)
            for lane in range(count):
                image = np.int64(order[chunk + lane])
                classes[lane] = labels[image]
                normalize(pixels, image, scale, shift, inputs, lane * IMAGE, True)
                forward_image(
                    activation,
                    lane,
                    inputs,
                    table_1,
                    table_2,
                    weights,
                    features_1,
                    slopes_1,
                    winners_1,
                    handed,
                    winners_2,
                )
            clear_missing(features_1, handed, count)
            to_lanes(features_1, handed, features)
            forward_lanes(activation, weights, features, slopes)
            share = F(1 / (stop - batch))
            chunk_loss, chunk_correct = score(features, deltas, classes, count, share)
            loss += chunk_loss
            correct += chunk_correct

            backward_lanes(weights, features, slopes, deltas, gradient)
            from_lanes(deltas, handed)
            for lane in range(count):
                backward_image(
                    lane,
                    inputs,
                    table_2,
                    features_1,
                    slopes_1,
                    deltas_1,
                    winners_1,
                    handed,
                    winners_2,
                    sums_1,
                    sums_2,
                    gradient,
                )
        collect_sums(sums_1, sums_2, gradient)
        step += 1
        adam(weights, gradient, first, second, step, rate, decay)

    copy(weights, model_weights)
    copy(first, first_moment)
    copy(second, second_moment)
    return loss, correct


@njit(nogil=True, cache=True)
def evaluate_model(model_weights, pixels, labels, scale, shift, activation, scores):
    """Returns summed loss and correct answers of one model; weights in kernel order.

    Class scores go to `scores`, [chunk, CLASSES, 16 images].
    """
    weights = aligned(PADDED_PARAMETERS)
    copy(model_weights, weights)
    table_1, table_2 = aligned(TABLE_1), aligned(TABLE_2)
    fill_tables(weights, table_1, table_2)
    inputs, features_1 = aligned(IMAGE), aligned(KEPT_1)
    handed, features = aligned(CHUNK * HANDED), aligned(FEATURES)
    classes = np.zeros(16, np.float32)
    loss, correct = 0.0, 0
    for chunk in range(0, len(labels), CHUNK):
        count = min(CHUNK, len(labels) - chunk)
        for lane in range(count):
            classes[lane] = labels[chunk + lane]
            normalize(pixels, chunk + lane, scale, shift, inputs, FIRST, False)
            forward_image_only(
                activation, lane, inputs, table_1, table_2, weights, features_1, handed
            )
        clear_missing(features_1, handed, count)
        to_lanes(features_1, handed, features)
        forward_lanes(activation, weights, features, None)
        for k in range(0, CLASSES * CHUNK, CHUNK):
            scores_at = chunk * CLASSES + k
            store(scores, scores_at, load(features, SCORES_AT + k, 16))
        chunk_loss, chunk_correct = score(features, features, classes, count, F(1))
        loss += chunk_loss
        correct += chunk_correct
    return loss, correct
