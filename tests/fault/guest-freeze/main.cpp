#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <signal.h>

#include <cstdio>

#include "support.hpp"

int main(int argc, char** argv) {
    constexpr int skipped = 77;
    const bool allowed = stillpoint::test::enter_private_mounts() &&
                         stillpoint::test::shell("losetup -f && mkfs.ext4 -V && mkfs.xfs -V");
    if (!allowed) {
        std::puts("skipped: needs root, a loop device, mkfs.ext4 and mkfs.xfs");
        return skipped;
    }
    ::signal(SIGPIPE, SIG_IGN);
    doctest::Context context{argc, argv};
    return context.run();
}
