// Trains or evaluates one network per thread block, all state in shared memory.
//
// kernel.py writes the constants in capitals in front: the sizes of the network
// and where each array lies in shared memory (AT_..., in words of 4 bytes). A step is a
// loop over chunks of as many images as are in flight; per chunk
//
//   load | conv1 | conv2 | tail, forward and back | conv2 back | conv1 back
//
// with a barrier at each bar. Every sum has a fixed order, so a model's bits depend on
// nothing but its own data. Convolutions hold 2 x 2 positions x several units in
// registers: each word read from shared memory serves four multiplications or more.
//
// Arrays: a1, a2, a3, a4 are activations [image, unit, position]; d1 .. d5 first hold the
// slope of the activation and then the gradient before it; code1 and code2 say which
// position of a 2 x 2 window was its maximum.

typedef unsigned char byte;

// dynamic shared memory, aligned for 16 byte accesses
extern __shared__ float4 arena[];

constexpr unsigned ALL = 0xffffffffu;
constexpr int WARPS = THREADS / 32;
constexpr int SIZE_2 = SIDE_1 + 1 - KERNEL_2;  // before pooling
constexpr int FEATURES_2 = UNITS_2 * SIDE_2 * SIDE_2;
constexpr int FEATURES_3 = UNITS_3 * SIDE_3 * SIDE_3;
constexpr int SPREAD = UNITS_2 * SIZE_2 * SIZE_2;

__device__ inline float* at(int word) {
    return reinterpret_cast<float*>(arena) + word;
}

__device__ inline byte* bytes_at(int word) {
    return reinterpret_cast<byte*>(at(word));
}

// N floats, an even number, from an address divisible by 8 bytes
template <int N>
__device__ inline void read_pairs(const float* from, float (&to)[N]) {
    static_assert(N % 2 == 0, "pairs");
#pragma unroll
    for (int i = 0; i < N; i += 2) {
        const float2 pair = *reinterpret_cast<const float2*>(from + i);
        to[i] = pair.x;
        to[i + 1] = pair.y;
    }
}

// N floats, a multiple of 4, from an address divisible by 16 bytes
template <int N>
__device__ inline void read_fours(const float* from, float (&to)[N]) {
    static_assert(N % 4 == 0, "fours");
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(from + i);
        to[i] = four.x;
        to[i + 1] = four.y;
        to[i + 2] = four.z;
        to[i + 3] = four.w;
    }
}

// The activation function and its slope. Adam divides by the size of a gradient, so that
// tiny slopes count as much as large ones: none is a difference of nearly equal numbers.
__device__ inline float activate(float z, float& slope) {
    if constexpr (ACTIVATION == TANH) {
        const float e = expf(-2.0f * fabsf(z));
        slope = 4.0f * e / ((1.0f + e) * (1.0f + e));
        return tanhf(z);
    } else if constexpr (ACTIVATION == GELU) {
        const float share = 0.5f * erfcf(z * -0.70710678f);
        slope = share + z * 0.39894228f * expf(-0.5f * z * z);
        return z * share;
    } else if constexpr (ACTIVATION == SIGMOID || ACTIVATION == SILU) {
        const float e = expf(-fabsf(z));
        const float larger = 1.0f / (1.0f + e);
        const float y = z > 0.0f ? larger : e * larger;
        const float rest = z > 0.0f ? e * larger : larger;
        const bool plain = ACTIVATION == SIGMOID;
        slope = plain ? y * rest : y * (1.0f + z * rest);
        return plain ? y : z * y;
    } else {
        slope = z > 0.0f ? 1.0f : ACTIVATION == RELU ? 0.0f : 0.01f;
        return z * slope;
    }
}

// Pixels become floats of mean 0 and variance 1; affine is [factor, offset][channel].
__device__ inline void load_images(const byte* pixels, const byte* labels,
                                   const float* affine, const int* order, int images) {
    constexpr int PLANE = SIDE_0 * SIDE_0 / 4;
    constexpr int WORDS = CHANNELS * PLANE;
    for (int i = threadIdx.x; i < images * WORDS; i += THREADS) {
        const int image = i / WORDS;
        const int word = i % WORDS;
        const size_t index = order ? order[image] : image;
        const uchar4 four =
            reinterpret_cast<const uchar4*>(pixels)[index * WORDS + word];
        const float factor = affine[word / PLANE];
        const float offset = affine[CHANNELS + word / PLANE];
        reinterpret_cast<float4*>(at(AT_X))[i] =
            make_float4(four.x * factor + offset, four.y * factor + offset,
                        four.z * factor + offset, four.w * factor + offset);
    }
    for (int i = threadIdx.x; i < images; i += THREADS)
        bytes_at(AT_LABELS)[i] = labels[order ? order[i] : i];
}

// Convolution, 2 x 2 maximum, activation. A thread computes one window of `TILE` units;
// neighbouring threads have neighbouring windows and the same weights.
template <bool BACK, int INPUTS, int SIDE_IN, int KERNEL, int UNITS, int TILE>
__device__ inline void convolve(const float* in, const float* weight, const float* bias,
                                float* out, float* slopes, byte* code, int images) {
    constexpr int SIDE = (SIDE_IN + 1 - KERNEL) / 2;
    constexpr int CELLS = SIDE * SIDE;
    constexpr int WIDTH = (KERNEL + 2) / 2 * 2;
    static_assert(UNITS % TILE == 0, "tiles");
    // with few units a row is read once for both lines of windows, at the cost of code
    constexpr int ROWS = TILE > 2 ? 1 : KERNEL;
#pragma unroll 1
    for (int i = threadIdx.x; i < images * CELLS * (UNITS / TILE); i += THREADS) {
        const int first = i / (images * CELLS) * TILE;
        const int image = i % (images * CELLS) / CELLS;
        const int cell = i % (images * CELLS) % CELLS;
        const float* window = in + image * INPUTS * SIDE_IN * SIDE_IN +
                              cell / SIDE * 2 * SIDE_IN + cell % SIDE * 2;
        const float* taps = weight + first;
        float sum[4][TILE] = {};
#pragma unroll 1
        for (int channel = 0; channel < INPUTS; channel++) {
#pragma unroll(ROWS)
            for (int row = 0; row < KERNEL; row++) {
                float x[2][WIDTH];
                read_pairs(window + row * SIDE_IN, x[0]);
                read_pairs(window + (row + 1) * SIDE_IN, x[1]);
#pragma unroll
                for (int column = 0; column < KERNEL; column++) {
                    float w[TILE];
                    if constexpr (TILE % 4 == 0)
                        read_fours(taps, w);
                    else
                        read_pairs(taps, w);
                    taps += UNITS;
#pragma unroll
                    for (int p = 0; p < 4; p++)
#pragma unroll
                        for (int u = 0; u < TILE; u++)
                            sum[p][u] += x[p / 2][column + p % 2] * w[u];
                }
            }
            window += SIDE_IN * SIDE_IN;
        }
#pragma unroll
        for (int u = 0; u < TILE; u++) {
            float best = sum[0][u];
            int which = 0;
#pragma unroll
            for (int p = 1; p < 4; p++)
                if (sum[p][u] > best) {
                    best = sum[p][u];
                    which = p;
                }
            const int target = (image * UNITS + first + u) * CELLS + cell;
            float slope;
            out[target] = activate(best + bias[first + u], slope);
            if constexpr (BACK) {
                slopes[target] = slope;
                code[target] = which;
            }
        }
    }
}

// One linear unit per lane: its sum, or 0 in lanes without a unit.
template <int IN, int OUT>
__device__ inline float linear(const float* x, const float* weight, const float* bias) {
    static_assert(IN % 4 == 0 && OUT <= 32, "one unit per lane");
    const int unit = threadIdx.x % 32;
    if (unit >= OUT)
        return 0.0f;
    float sum[4] = {bias[unit], 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int i = 0; i < IN; i += 4) {
        const float4 w = *reinterpret_cast<const float4*>(weight + unit * IN + i);
        sum[0] += x[i] * w.x;
        sum[1] += x[i + 1] * w.y;
        sum[2] += x[i + 2] * w.z;
        sum[3] += x[i + 3] * w.w;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// Third convolution and its activation, by one warp.
template <bool BACK>
__device__ inline void convolve_3(const float* a2, float* a3, float* d3) {
    constexpr int PLACES = SIDE_3 * SIDE_3;
    for (int i = threadIdx.x % 32; i < FEATURES_3; i += 32) {
        const int unit = i / PLACES;
        const float* x = a2 + i % PLACES / SIDE_3 * SIDE_2 + i % PLACES % SIDE_3;
        const float* w = at(AT_WEIGHTS + WEIGHT_3) + unit * UNITS_2 * KERNEL_3 * KERNEL_3;
        float sum = at(AT_WEIGHTS + BIAS_3)[unit];
#pragma unroll
        for (int channel = 0; channel < UNITS_2; channel++)
#pragma unroll
            for (int row = 0; row < KERNEL_3; row++)
#pragma unroll
                for (int column = 0; column < KERNEL_3; column++)
                    sum += x[(channel * SIDE_2 + row) * SIDE_2 + column] *
                           w[(channel * KERNEL_3 + row) * KERNEL_3 + column];
        float slope;
        a3[i] = activate(sum, slope);
        if constexpr (BACK)
            d3[i] = slope;
    }
}

struct Result {
    float loss;
    int correct;
};

// Cross-entropy of the scores, one class per lane. With `delta`, the gradient of
// `share` times the loss; the wanted class's probability minus 1 would cancel and is the
// sum of the others. The first of equal scores is the answer.
__device__ inline Result judge(float score, int label, float share, float* delta) {
    const int lane = threadIdx.x % 32;
    const float lowest = -3.4e38f;
    const float mine = lane < CLASSES ? score : lowest;
    float best = mine;
#pragma unroll
    for (int step = 16; step > 0; step /= 2)
        best = fmaxf(best, __shfl_xor_sync(ALL, best, step));
    int answer = lane < CLASSES && mine == best ? lane : 32;
    const float power = lane < CLASSES ? expf(mine - best) : 0.0f;
    float others = lane == label ? 0.0f : power;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        const int other = __shfl_xor_sync(ALL, answer, step);
        answer = other < answer ? other : answer;
        others += __shfl_xor_sync(ALL, others, step);
    }
    const float wanted = __shfl_sync(ALL, mine, label);
    const float total = others + __shfl_sync(ALL, power, label);
    if (delta && lane < CLASSES)
        delta[lane] = (lane == label ? -others : power) / total * share;
    return {logf(total) + best - wanted, answer == label};
}

// Gradient of a linear layer's input times the slope of the activation before it.
template <int IN, int OUT>
__device__ inline void linear_back(const float* delta, const float* weight, float* d) {
    for (int i = threadIdx.x % 32; i < IN; i += 32) {
        float sum = 0.0f;
#pragma unroll
        for (int unit = 0; unit < OUT; unit++)
            sum += delta[unit] * weight[unit * IN + i];
        d[i] *= sum;
    }
}

// Gradient of the third convolution's input, times the slope before; also spread to
// the positions before pooling, where three of four are zero.
__device__ inline void convolve_3_back(const float* d3, float* d2, const byte* code,
                                       float* spread) {
    constexpr int CELLS = SIDE_2 * SIDE_2;
    for (int i = threadIdx.x % 32; i < FEATURES_2; i += 32) {
        const int channel = i / CELLS;
        const int y = i % CELLS / SIDE_2;
        const int x = i % CELLS % SIDE_2;
        float sum = 0.0f;
#pragma unroll
        for (int unit = 0; unit < UNITS_3; unit++)
#pragma unroll
            for (int row = 0; row < KERNEL_3; row++)
#pragma unroll
                for (int column = 0; column < KERNEL_3; column++) {
                    const bool inside = y >= row && y - row < SIDE_3 && x >= column &&
                                        x - column < SIDE_3;
                    const int from = (unit * SIDE_3 + y - row) * SIDE_3 + x - column;
                    const int tap = ((unit * UNITS_2 + channel) * KERNEL_3 + row) *
                                        KERNEL_3 + column;
                    sum += inside ? d3[from] * at(AT_WEIGHTS + WEIGHT_3)[tap] : 0.0f;
                }
        const float delta = d2[i] * sum;
        d2[i] = delta;
        const int which = code[i];
        float* target = spread + (channel * SIZE_2 + 2 * y) * SIZE_2 + 2 * x;
        target[0] = which == 0 ? delta : 0.0f;
        target[1] = which == 1 ? delta : 0.0f;
        target[SIZE_2] = which == 2 ? delta : 0.0f;
        target[SIZE_2 + 1] = which == 3 ? delta : 0.0f;
    }
}

// All layers behind the second pooling, by one warp: forward, loss and, to train, back.
template <bool BACK>
__device__ inline Result tail(int image, float share) {
    const float* w = at(AT_WEIGHTS);
    const float* a2 = at(AT_A2) + image * FEATURES_2;
    float* a3 = at(AT_A3) + image * FEATURES_3;
    float* a4 = at(AT_A4) + image * UNITS_4;
    float* d3 = at(AT_D3) + image * FEATURES_3;
    float* d4 = at(AT_D4) + image * UNITS_4;
    float* d5 = at(AT_D5) + image * CLASSES;
    convolve_3<BACK>(a2, a3, d3);
    __syncwarp();
    const int lane = threadIdx.x % 32;
    const float hidden = linear<FEATURES_3, UNITS_4>(a3, w + WEIGHT_4, w + BIAS_4);
    if (lane < UNITS_4) {
        float slope;
        a4[lane] = activate(hidden, slope);
        if constexpr (BACK)
            d4[lane] = slope;
    }
    __syncwarp();
    const float score = linear<UNITS_4, CLASSES>(a4, w + WEIGHT_5, w + BIAS_5);
    const int label = bytes_at(AT_LABELS)[image];
    const Result result = judge(score, label, share, BACK ? d5 : nullptr);
    if constexpr (BACK) {
        __syncwarp();
        linear_back<UNITS_4, CLASSES>(d5, w + WEIGHT_5, d4);
        __syncwarp();
        linear_back<FEATURES_3, UNITS_4>(d4, w + WEIGHT_4, d3);
        __syncwarp();
        convolve_3_back(d3, at(AT_D2) + image * FEATURES_2,
                        bytes_at(AT_CODE2) + image * FEATURES_2,
                        at(AT_SPREAD) + image * SPREAD);
    }
    return result;
}

// Sums the WIDTH values of v over LANES neighbouring lanes and deals the sums out: a lane
// ends with the sums base .. base + count - 1 in v[0 .. count - 1]. Half the values move
// at each step. To begin with, base is 0 and count is WIDTH.
template <int WIDTH, int LANES, int N>
__device__ inline void share_sums(float (&v)[N], int& base, int& count) {
    constexpr int HALF = (WIDTH + 1) / 2;
    const bool upper = threadIdx.x & (LANES / 2);
#pragma unroll
    for (int i = 0; i < HALF; i++) {
        const float low = v[i];
        const float high = i + HALF < WIDTH ? v[i + HALF] : 0.0f;
        v[i] = (upper ? high : low) + __shfl_xor_sync(ALL, upper ? low : high, LANES / 2);
    }
    base += upper ? HALF : 0;
    count = upper ? count - HALF : (count < HALF ? count : HALF);
    if constexpr (LANES > 2)
        share_sums<HALF, LANES / 2>(v, base, count);
}

// Gradient of a pooled convolution's weights and biases. A group of SLICES lanes of a
// warp has two units and one input channel; its lanes take turns with the windows of all
// images. Parts of the windows are different tasks, with gradients `apart` words apart.
template <int INPUTS, int SIDE_IN, int KERNEL, int UNITS, int SLICES, int PARTS>
__device__ inline void weight_gradient(int task, const float* in, const float* delta,
                                       const byte* code, float* gradient, float* bias,
                                       int apart, int images) {
    constexpr int SIDE = (SIDE_IN + 1 - KERNEL) / 2;
    constexpr int CELLS = SIDE * SIDE;
    constexpr int WIDTH = (KERNEL + 2) / 2 * 2;
    constexpr int TAPS = KERNEL * KERNEL;
    static_assert(UNITS / 2 * INPUTS * PARTS * SLICES % 32 == 0, "whole warps");
    const int lane = threadIdx.x % 32;
    const int group = task * (32 / SLICES) + lane / SLICES;
    const int part = group % PARTS;
    const int channel = group / PARTS % INPUTS;
    const int first = group / PARTS / INPUTS * 2;
    // taps of both units, then their biases
    constexpr int SUMS = 2 * TAPS + 2;
    float sum[SUMS] = {};
#pragma unroll 1
    for (int i = part * SLICES + lane % SLICES; i < images * CELLS;
         i += PARTS * SLICES) {
        const int image = i / CELLS;
        const int cell = i % CELLS;
        const float* window = in + (image * INPUTS + channel) * SIDE_IN * SIDE_IN +
                              cell / SIDE * 2 * SIDE_IN + cell % SIDE * 2;
        float d[2][4];
#pragma unroll
        for (int u = 0; u < 2; u++) {
            const int from = (image * UNITS + first + u) * CELLS + cell;
            const float value = delta[from];
            const int which = code[from];
            sum[2 * TAPS + u] += value;
#pragma unroll
            for (int p = 0; p < 4; p++)
                d[u][p] = which == p ? value : 0.0f;
        }
#pragma unroll
        for (int row = 0; row <= KERNEL; row++) {
            float x[WIDTH];
            read_pairs(window + row * SIDE_IN, x);
#pragma unroll
            for (int p = 0; p < 4; p++) {
                const int k = row - p / 2;
                if (k >= 0 && k < KERNEL)
#pragma unroll
                    for (int column = 0; column < KERNEL; column++)
#pragma unroll
                        for (int u = 0; u < 2; u++)
                            sum[u * TAPS + k * KERNEL + column] +=
                                d[u][p] * x[column + p % 2];
            }
        }
    }
    int base = 0;
    int count = SUMS;
    share_sums<SUMS, SLICES>(sum, base, count);
    constexpr int MOST = (SUMS + SLICES - 1) / SLICES;
#pragma unroll
    for (int i = 0; i < MOST; i++) {
        const int n = base + i;
        if (i < count && n < 2 * TAPS)
            gradient[part * apart + (channel * TAPS + n % TAPS) * UNITS + first +
                     n / TAPS] += sum[i];
        else if (i < count && channel == 0)
            bias[part * apart + first + n - 2 * TAPS] += sum[i];
    }
}

// Gradient of the second convolution's input, times the slope before. An item is one
// channel and the output rows `slot` and `slot + SIZE_2` (if there is such a row), which
// together need each row of the kernel once.
__device__ inline void convolve_2_back(int item) {
    const int channel = item % UNITS_1;
    const int slot = item / UNITS_1 % SIZE_2;
    const int image = item / (UNITS_1 * SIZE_2);
    const float* spread = at(AT_SPREAD) + image * SPREAD;
    float* target = at(AT_D1) + (image * UNITS_1 + channel) * SIDE_1 * SIDE_1;
    const float* taps =
        at(AT_WEIGHTS + WEIGHT_2) + channel * KERNEL_2 * KERNEL_2 * UNITS_2;
    float sum[SIDE_1] = {};
    int out = slot;
#pragma unroll 1
    for (int row = 0; row < KERNEL_2; row++) {
        if (row == slot + 1) {
#pragma unroll
            for (int x = 0; x < SIDE_1; x++) {
                target[out * SIDE_1 + x] *= sum[x];
                sum[x] = 0.0f;
            }
            out = slot + SIZE_2;
        }
#pragma unroll
        for (int unit = 0; unit < UNITS_2; unit += 2) {
            float w[KERNEL_2][2];
#pragma unroll
            for (int column = 0; column < KERNEL_2; column++)
                read_pairs(taps + (row * KERNEL_2 + column) * UNITS_2 + unit, w[column]);
#pragma unroll
            for (int u = 0; u < 2; u++) {
                float d[SIZE_2];
                read_fours(spread + ((unit + u) * SIZE_2 + out - row) * SIZE_2, d);
#pragma unroll
                for (int x = 0; x < SIZE_2; x++)
#pragma unroll
                    for (int column = 0; column < KERNEL_2; column++)
                        sum[x + column] += d[x] * w[column][u];
            }
        }
    }
#pragma unroll
    for (int x = 0; x < SIDE_1; x++)
        target[out * SIDE_1 + x] *= sum[x];
}

// Second convolution back: gradient of its weights and of its input.
__device__ inline void back_2(int images) {
    constexpr int SLICES = 8;
    constexpr int TASKS = UNITS_2 / 2 * UNITS_1 * SLICES / 32;
    const int items = images * UNITS_1 * SIZE_2;
    const int lane = threadIdx.x % 32;
    for (int task = threadIdx.x / 32; task < TASKS + (items + 31) / 32; task += WARPS) {
        if (task < TASKS)
            weight_gradient<UNITS_1, SIDE_1, KERNEL_2, UNITS_2, SLICES, 1>(
                task, at(AT_A1), at(AT_D2), bytes_at(AT_CODE2),
                at(AT_GRADIENT + WEIGHT_2), at(AT_GRADIENT + BIAS_2), 0, images);
        else if ((task - TASKS) * 32 + lane < items)
            convolve_2_back((task - TASKS) * 32 + lane);
    }
}

// Gradient of a linear layer's weights and biases, one per thread.
template <int IN, int OUT>
__device__ inline void linear_gradient(const float* x, const float* delta, float* weight,
                                       float* bias, int images) {
    for (int i = threadIdx.x; i < OUT * IN; i += THREADS) {
        float sum = 0.0f;
        for (int image = 0; image < images; image++)
            sum += delta[image * OUT + i / IN] * x[image * IN + i % IN];
        weight[i] += sum;
    }
    for (int i = threadIdx.x; i < OUT; i += THREADS) {
        float sum = 0.0f;
        for (int image = 0; image < images; image++)
            sum += delta[image * OUT + i];
        bias[i] += sum;
    }
}

// Gradient of the third convolution's weights and biases, one per thread.
__device__ inline void convolve_3_gradient(int images) {
    constexpr int TAPS = KERNEL_3 * KERNEL_3;
    constexpr int PLACES = SIDE_3 * SIDE_3;
    for (int i = threadIdx.x; i < UNITS_3 * UNITS_2 * TAPS; i += THREADS) {
        const int unit = i / (UNITS_2 * TAPS);
        const int channel = i / TAPS % UNITS_2;
        const float* delta = at(AT_D3) + unit * PLACES;
        const float* x = at(AT_A2) + (channel * SIDE_2 + i % TAPS / KERNEL_3) * SIDE_2 +
                         i % TAPS % KERNEL_3;
        float sum = 0.0f;
        for (int image = 0; image < images; image++) {
#pragma unroll
            for (int place = 0; place < PLACES; place++)
                sum += delta[place] * x[place / SIDE_3 * SIDE_2 + place % SIDE_3];
            delta += FEATURES_3;
            x += FEATURES_2;
        }
        at(AT_GRADIENT + WEIGHT_3)[i] += sum;
    }
    for (int unit = threadIdx.x; unit < UNITS_3; unit += THREADS) {
        float sum = 0.0f;
        for (int image = 0; image < images; image++)
            for (int place = 0; place < PLACES; place++)
                sum += at(AT_D3)[image * FEATURES_3 + unit * PLACES + place];
        at(AT_GRADIENT + BIAS_3)[unit] += sum;
    }
}

// First convolution back, and the weights of all layers behind the second. The gradient
// of the first has a copy behind all others, so that every warp has a task.
__device__ inline void back_1(int images) {
    constexpr int PARTS = 2;
    for (int task = threadIdx.x / 32; task < UNITS_1 / 2 * CHANNELS * PARTS;
         task += WARPS)
        weight_gradient<CHANNELS, SIDE_0, KERNEL_1, UNITS_1, 32, PARTS>(
            task, at(AT_X), at(AT_D1), bytes_at(AT_CODE1), at(AT_GRADIENT + WEIGHT_1),
            at(AT_GRADIENT + BIAS_1), PADDED, images);
    convolve_3_gradient(images);
    linear_gradient<FEATURES_3, UNITS_4>(at(AT_A3), at(AT_D4), at(AT_GRADIENT + WEIGHT_4),
                                         at(AT_GRADIENT + BIAS_4), images);
    linear_gradient<UNITS_4, CLASSES>(at(AT_A4), at(AT_D5), at(AT_GRADIENT + WEIGHT_5),
                                      at(AT_GRADIENT + BIAS_5), images);
}

// Scores of the images in shared memory and their loss, added up per warp.
template <bool BACK>
__device__ inline void forward(int images, float share, double& loss, int& correct) {
    __syncthreads();
    convolve<BACK, CHANNELS, SIDE_0, KERNEL_1, UNITS_1, 8>(
        at(AT_X), at(AT_WEIGHTS + WEIGHT_1), at(AT_WEIGHTS + BIAS_1), at(AT_A1),
        at(AT_D1), bytes_at(AT_CODE1), images);
    __syncthreads();
    convolve<BACK, UNITS_1, SIDE_1, KERNEL_2, UNITS_2, 2>(
        at(AT_A1), at(AT_WEIGHTS + WEIGHT_2), at(AT_WEIGHTS + BIAS_2), at(AT_A2),
        at(AT_D2), bytes_at(AT_CODE2), images);
    __syncthreads();
    for (int image = threadIdx.x / 32; image < images; image += WARPS) {
        const Result result = tail<BACK>(image, share);
        loss += result.loss;
        correct += result.correct;
    }
}

// Writes the sums over the warps; shared memory is free to use.
__device__ inline void report(double loss, int correct, double* losses,
                              long long* corrects) {
    double* parts = reinterpret_cast<double*>(arena);
    int* counts = reinterpret_cast<int*>(parts + WARPS);
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        parts[threadIdx.x / 32] = loss;
        counts[threadIdx.x / 32] = correct;
    }
    __syncthreads();
    if (threadIdx.x > 0)
        return;
    double total = 0.0;
    long long hits = 0;
    for (int warp = 0; warp < WARPS; warp++) {
        total += parts[warp];
        hits += counts[warp];
    }
    losses[blockIdx.x] = total;
    corrects[blockIdx.x] = hits;
}

// One epoch of Adam with L2 decay for the model blockIdx.x.
//
// places: [PADDED] index of each word of the weights in PyTorch's order, or -1.
// corrections: [steps][2] Adam's step size and root of its second bias correction.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    train(float* __restrict__ weights, float* __restrict__ firsts,
          float* __restrict__ seconds, const byte* __restrict__ pixels,
          const byte* __restrict__ labels, const float* __restrict__ affine,
          const int* __restrict__ order, const int* __restrict__ places,
          const float* __restrict__ corrections, double* __restrict__ losses,
          long long* __restrict__ corrects, int samples, int batch, int in_flight,
          float decay) {
    const size_t row = static_cast<size_t>(blockIdx.x) * PARAMETERS;
    const int* mine = order + static_cast<size_t>(blockIdx.x) * samples;
    // Adam's moments stay in registers: a thread owns every THREADS-th word
    constexpr int EACH = (PADDED + THREADS - 1) / THREADS;
    float first[EACH], second[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int word = threadIdx.x + i * THREADS;
        const int place = word < PADDED ? places[word] : -1;
        first[i] = place < 0 ? 0.0f : firsts[row + place];
        second[i] = place < 0 ? 0.0f : seconds[row + place];
        if (word < PADDED)
            at(AT_WEIGHTS)[word] = place < 0 ? 0.0f : weights[row + place];
    }
    for (int i = threadIdx.x; i < PADDED + COPY; i += THREADS)
        at(AT_GRADIENT)[i] = 0.0f;
    double loss = 0.0;
    int correct = 0;
    for (int start = 0; start < samples; start += batch) {
        const int count = samples - start < batch ? samples - start : batch;
        for (int chunk = 0; chunk < count; chunk += in_flight) {
            const int images = count - chunk < in_flight ? count - chunk : in_flight;
            load_images(pixels, labels, affine, mine + start + chunk, images);
            forward<true>(images, 1.0f / count, loss, correct);
            __syncthreads();
            back_2(images);
            __syncthreads();
            back_1(images);
            __syncthreads();
        }
        const float size = corrections[start / batch * 2];
        const float root = corrections[start / batch * 2 + 1];
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int word = threadIdx.x + i * THREADS;
            if (word < PADDED) {
                float gradient = at(AT_GRADIENT)[word];
                at(AT_GRADIENT)[word] = 0.0f;
                if (word < COPY) {
                    gradient += at(AT_GRADIENT + PADDED)[word];
                    at(AT_GRADIENT + PADDED)[word] = 0.0f;
                }
                const float weight = at(AT_WEIGHTS)[word];
                gradient += decay * weight;
                first[i] += (gradient - first[i]) * NEW_1;
                second[i] = second[i] * BETA_2 + NEW_2 * gradient * gradient;
                at(AT_WEIGHTS)[word] =
                    weight - size * first[i] / (sqrtf(second[i]) / root + EPSILON);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int word = threadIdx.x + i * THREADS;
        const int place = word < PADDED ? places[word] : -1;
        if (place >= 0) {
            weights[row + place] = at(AT_WEIGHTS)[word];
            firsts[row + place] = first[i];
            seconds[row + place] = second[i];
        }
    }
    report(loss, correct, losses, corrects);
}

// Loss and correct answers of the model blockIdx.x on all images.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    evaluate(const float* __restrict__ weights, const byte* __restrict__ pixels,
             const byte* __restrict__ labels, const float* __restrict__ affine,
             const int* __restrict__ places, double* __restrict__ losses,
             long long* __restrict__ corrects, int samples, int in_flight) {
    const size_t row = static_cast<size_t>(blockIdx.x) * PARAMETERS;
    for (int i = threadIdx.x; i < PADDED; i += THREADS)
        at(AT_WEIGHTS)[i] = places[i] < 0 ? 0.0f : weights[row + places[i]];
    double loss = 0.0;
    int correct = 0;
    for (int start = 0; start < samples; start += in_flight) {
        const int images = samples - start < in_flight ? samples - start : in_flight;
        const size_t from = static_cast<size_t>(start) * CHANNELS * SIDE_0 * SIDE_0;
        load_images(pixels + from, labels + start, affine, nullptr, images);
        forward<false>(images, 0.0f, loss, correct);
        // labels are read until here
        __syncthreads();
    }
    report(loss, correct, losses, corrects);
}
