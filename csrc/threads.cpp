#include "threads.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#include <pthread.h>
#endif

namespace nprnn {
namespace {

struct Task {
    void (*body)(void*, int);
    void* data;
    int count;
    std::atomic<int> next{0};

    void work() {
        FlushDenormals flush;
        for (int k = next.fetch_add(1); k < count; k = next.fetch_add(1)) body(data, k);
    }
};

// torch's own pool, when torch came with GNU OpenMP. A second one costs a few percent more where the two take turns,
// because OpenMP's threads go on spinning for a while after their work.
struct OpenMP {
    using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
    Parallel parallel = nullptr;

    OpenMP() {
#if defined(__linux__)
        if (void* library = dlopen("libgomp.so.1", RTLD_NOLOAD | RTLD_NOW))
            parallel = reinterpret_cast<Parallel>(dlsym(library, "GOMP_parallel"));
#endif
    }
};

const OpenMP& openmp() {
    static const OpenMP found;
    return found;
}

// Threads of our own, asleep between calls, for where there is no OpenMP to share.
class Pool {
  public:
    void run(Task& task) {
        std::unique_lock<std::mutex> alone(busy_, std::try_to_lock);
        if (!alone.owns_lock()) return task.work();  // another caller has the pool
        {
            std::lock_guard<std::mutex> lock(mutex_);
            while (int(threads_.size()) < task.count - 1) {
                threads_.emplace_back([this, seen = generation_]() mutable { wait(seen); });
                threads_.back().detach();
            }
            task_ = &task;
            seats_ = task.count - 1;
            ++generation_;
        }
        wake_.notify_all();
        task.work();
        std::unique_lock<std::mutex> lock(mutex_);
        seats_ = 0;
        done_.wait(lock, [this] { return working_ == 0; });
        task_ = nullptr;
    }

  private:
    void wait(std::uint64_t seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return generation_ != seen; });
            seen = generation_;
            if (seats_ == 0) continue;
            --seats_;
            ++working_;
            Task* task = task_;
            lock.unlock();
            task->work();
            lock.lock();
            if (--working_ == 0) done_.notify_one();
        }
    }

    std::mutex busy_, mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> threads_;
    std::uint64_t generation_ = 0;
    Task* task_ = nullptr;
    int seats_ = 0, working_ = 0;
};

// Never destroyed: its threads outlive the main one's statics.
std::atomic<Pool*> own_pool{nullptr};
std::atomic<bool> forked{false};

Pool& pool() {
    Pool* found = own_pool.load();
    if (!found) {
        Pool* made = new Pool;
        if (own_pool.compare_exchange_strong(found, made))
            found = made;
        else
            delete made;
    }
    return *found;
}

#if defined(__unix__) || defined(__APPLE__)
// A forked child has none of its parent's threads, and OpenMP would wait for them for ever.
const int fork_handler = pthread_atfork(nullptr, nullptr, [] {
    forked = true;
    own_pool = nullptr;
});
#endif

}  // namespace

void parallel(int count, void (*body)(void*, int), void* data) {
    Task task{body, data, count};
    if (count <= 1)
        task.work();
    else if (openmp().parallel && !forked)
        openmp().parallel([](void* t) { static_cast<Task*>(t)->work(); }, &task, unsigned(count), 0);
    else
        pool().run(task);
}

const char* pool_name() { return openmp().parallel && !forked ? "OpenMP, shared with torch" : "own"; }

}  // namespace nprnn
