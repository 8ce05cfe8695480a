#include "base/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace stillpoint {

void check_failed(const char* condition, const char* file, int line) noexcept {
    std::fprintf(stderr, "%s:%d: broken assumption: %s\n", file, line, condition);
    std::abort();
}

}  // namespace stillpoint
