// Runs a CUDA kernel on the CPU: what the fused kernels use of CUDA, in standard C++.
//
// The threads of a block are fibers that take turns: each runs until it waits at a
// barrier of its block or warp. Blocks run one after the other. Shared memory starts as
// NaN, and the words behind it must stay untouched. Running the threads in reverse order
// must give the same bits; a missing barrier shows as a difference.

#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include <memory>
#include <vector>

#define __device__
#define __global__
#define __shared__
#define __restrict__ __restrict
#define __launch_bounds__(...)

struct alignas(4) uchar4 {
    unsigned char x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

struct Index {
    int x;
};
static Index threadIdx, blockIdx;

namespace emulation {

constexpr int WARP = 32;
constexpr size_t STACK = 1 << 16;
constexpr size_t GUARD = 1024;
constexpr size_t SHARED = 228 * 1024;

enum State { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };

// begins as a context; goes on by jumps, which need no system call
struct Fiber {
    ucontext_t beginning;
    jmp_buf place;
    std::unique_ptr<char[]> stack;
    State state;
    bool begun;
};

static std::vector<Fiber> fibers;
static std::vector<unsigned> exchanged;  // what the lanes of each warp show each other
static jmp_buf scheduler;
static void (*body)();

inline void wait(State state) {
    Fiber& fiber = fibers[threadIdx.x];
    fiber.state = state;
    if (_setjmp(fiber.place) == 0)
        _longjmp(scheduler, 1);
}

inline void start() {
    body();
    fibers[threadIdx.x].state = DONE;
    _longjmp(scheduler, 1);
}

inline void go_on(Fiber& fiber) {
    if (_setjmp(scheduler) != 0)
        return;
    if (fiber.begun)
        _longjmp(fiber.place, 1);
    fiber.begun = true;
    setcontext(&fiber.beginning);
}

// Lets the fibers from first to last go on if all of them wait at the barrier.
inline bool release(int first, int last, State barrier) {
    for (int i = first; i < last; i++)
        if (fibers[i].state != barrier)
            return false;
    for (int i = first; i < last; i++)
        fibers[i].state = READY;
    return true;
}

// Runs one block; false if its threads wait for one another for ever.
inline bool run_block(int threads, bool reversed) {
    fibers.resize(threads);
    exchanged.assign(threads, 0);
    for (Fiber& fiber : fibers) {
        if (!fiber.stack)
            fiber.stack.reset(new char[STACK]);
        getcontext(&fiber.beginning);
        fiber.beginning.uc_stack.ss_sp = fiber.stack.get();
        fiber.beginning.uc_stack.ss_size = STACK;
        makecontext(&fiber.beginning, start, 0);
        fiber.state = READY;
        fiber.begun = false;
    }
    for (;;) {
        bool moved = false;
        for (int i = 0; i < threads; i++) {
            threadIdx.x = reversed ? threads - 1 - i : i;
            Fiber& fiber = fibers[threadIdx.x];
            if (fiber.state != READY)
                continue;
            moved = true;
            go_on(fiber);
        }
        for (int first = 0; first < threads; first += WARP)
            moved |= release(first, first + WARP, AT_WARP_BARRIER);
        moved |= release(0, threads, AT_BLOCK_BARRIER);
        if (moved)
            continue;
        for (const Fiber& fiber : fibers)
            if (fiber.state != DONE)
                return false;
        return true;
    }
}

}  // namespace emulation

inline void __syncthreads() { emulation::wait(emulation::AT_BLOCK_BARRIER); }
inline void __syncwarp() { emulation::wait(emulation::AT_WARP_BARRIER); }

template <class T>
inline T __shfl_sync(unsigned, T value, int lane) {
    static_assert(sizeof(T) == sizeof(unsigned), "32 bits");
    const int first = threadIdx.x / emulation::WARP * emulation::WARP;
    memcpy(&emulation::exchanged[threadIdx.x], &value, sizeof(T));
    __syncwarp();
    memcpy(&value, &emulation::exchanged[first + lane], sizeof(T));
    __syncwarp();
    return value;
}

template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int step) {
    return __shfl_sync(mask, value, (threadIdx.x % emulation::WARP) ^ step);
}

// The kernel's shared memory, as it declares it.
float4 arena[(emulation::SHARED + emulation::GUARD) / sizeof(float4)];

// Runs a kernel; returns 0, 1 if its threads wait for ever, 2 if it writes outside.
template <class Kernel>
int emulate(Kernel kernel, int blocks, int threads, size_t shared, bool reversed) {
    static Kernel* current;
    current = &kernel;
    emulation::body = [] { (*current)(); };
    char* behind = reinterpret_cast<char*>(arena) + shared;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
        memset(arena, 0xff, sizeof arena);
        if (!emulation::run_block(threads, reversed))
            return 1;
        for (size_t i = 0; i < emulation::GUARD; i++)
            if (behind[i] != '\xff')
                return 2;
    }
    return 0;
}
