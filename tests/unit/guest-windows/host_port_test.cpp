#include "channel/host_port.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <new>

namespace {

// Counted per thread: what who sends takes from the heap.
thread_local long taken = 0;

}  // namespace

void* operator new(std::size_t bytes) {
    ++taken;
    if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
    throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace stillpoint::test {

using namespace windows_guest;

TEST_CASE("windows/port: a send that fails takes no memory, and what is wrong can be told later") {
    HostPort port{{R"(\\.\Global\org.stillpoint.none)", [](const InboxItem&) {}}};
    const Bytes frame(100);
    const long before = taken;
    const std::uint32_t failed = port.send(frame);
    CHECK(taken - before == 0);
    CHECK(failed != 0);
    CHECK(port.text_of(failed).ends_with("(" + std::to_string(failed) + ")"));
}

}  // namespace stillpoint::test
