// Runs doctest, or skips loudly (exit 77) when a peer is not installed.
// Build with -DPEERS="program program…".
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

namespace {

bool installed(const std::string& program) {
    const char* path = std::getenv("PATH");
    std::istringstream folders{path != nullptr ? path : "/usr/bin:/bin"};
    std::string folder;
    while (std::getline(folders, folder, ':')) {
        if (::access((folder + "/" + program).c_str(), X_OK) == 0) return true;
    }
    return false;
}

}  // namespace

int main(int argc, char** argv) {
    std::istringstream programs{PEERS};
    std::string program;
    while (programs >> program) {
        if (installed(program)) continue;
        std::fprintf(stderr, "SKIPPED: %s is not installed\n", program.c_str());
        return 77;
    }
    doctest::Context context{argc, argv};
    return context.run();
}
