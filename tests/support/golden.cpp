#include "support/golden.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

namespace stillpoint::test {
namespace {

std::filesystem::path path_of(const std::string& name) {
    return std::filesystem::path{STILLPOINT_GOLDEN_FOLDER} / name;
}

bool regenerating() {
    const char* wish = std::getenv("STILLPOINT_REGENERATE_GOLDEN");
    return wish != nullptr && std::string_view{wish} == "1";
}

}  // namespace

Bytes read_golden(const std::string& name) {
    std::ifstream file{path_of(name), std::ios::binary};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    return to_bytes(as_bytes(text));
}

bool matches_golden(const std::string& name, ByteView bytes) {
    if (regenerating()) {
        std::ofstream file{path_of(name), std::ios::binary | std::ios::trunc};
        file << as_text(bytes);
    }
    if (read_golden(name) == to_bytes(bytes)) return true;
    std::cerr << name
              << " is not what this version writes. A format that was released never changes: "
              << "add a version. Otherwise run with STILLPOINT_REGENERATE_GOLDEN=1 and review the "
                 "diff.\n";
    return false;
}

}  // namespace stillpoint::test
