#include "script.hpp"

#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <sstream>

namespace stillpoint::vss_double {
namespace {

std::uint32_t number(const std::string& text) {
    return static_cast<std::uint32_t>(std::stoul(text, nullptr, 0));
}

/// "key=value" -> key, value
std::pair<std::string, std::string> split(const std::string& word) {
    const std::size_t at = word.find('=');
    return {word.substr(0, at), at == std::string::npos ? "" : word.substr(at + 1)};
}

}  // namespace

Script::Script() {
    const char* folder = std::getenv("VSS_DOUBLE");
    folder_ = folder == nullptr ? R"(C:\vss-double)" : folder;
    read(folder_ + "/script.txt");
    if (!writers_.empty()) return;
    for (const char* name : {"System Writer", "Registry Writer", "SqlServerWriter"}) {
        writers_.push_back({name, {}});
    }
}

void Script::read(const std::string& path) {
    std::ifstream file{path};
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream words{line};
        std::string kind;
        std::string name;
        std::string word;
        words >> kind >> std::quoted(name);
        Writer writer{name, {}};
        Call call;
        while (words >> word) {
            const auto [key, value] = split(word);
            if (kind == "writer") {
                const std::size_t comma = value.find(',');
                writer.after[key] = {number(value.substr(0, comma)),
                                     number(value.substr(comma + 1))};
            } else if (key == "result") {
                call.result = number(value);
            } else if (key == "async") {
                call.async = number(value);
            } else if (key == "times") {
                call.times = static_cast<int>(number(value));
            }
        }
        if (kind == "writer") writers_.push_back(std::move(writer));
        if (kind == "call") calls_[name] = call;
    }
}

Call Script::play(const std::string& call) {
    const std::scoped_lock guard{lock_};
    const auto found = calls_.find(call);
    if (found == calls_.end() || found->second.times-- <= 0) return {};
    return found->second;
}

void Script::note(const std::string& line) {
    const std::scoped_lock guard{lock_};
    std::ofstream{folder_ + "/log.txt", std::ios::app} << line << "\n";
}

}  // namespace stillpoint::vss_double
