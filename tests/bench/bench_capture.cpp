// Reads a disk of random data from qemu-nbd to nowhere, by turns with nbdcopy: MiB/s and the ratio,
// measured in one run. One JSON document on stdout.
//     bench_capture [--mib N] [--rounds N] [--connections N] [--request-kib N] [--in-flight N]
#include <fcntl.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <stdexcept>

#include "capture/capture.hpp"
#include "env/random.hpp"
#include "serialization/value.hpp"
#include "support/nbd_server.hpp"

using namespace stillpoint;
using serialization::Array;
using serialization::Map;

namespace {

const env::SystemClock real_clock;
constexpr std::uint64_t mib = 1u << 20;

using Numbers = std::map<std::string, std::uint64_t>;

void write_random(const env::Path& path, std::uint64_t bytes) {
    const auto fd = env::open_file(path, O_WRONLY | O_CREAT | O_EXCL).value();
    for (std::uint64_t at = 0; at < bytes; at += mib) {
        const Status written =
            env::write_at(fd.get(), ByteOffset{at}, env::random_bytes(mib), path);
        if (!written) throw std::runtime_error(written.error().text);
    }
}

double seconds_of(const std::function<void()>& work) {
    const env::Nanoseconds before = real_clock.monotonic();
    work();
    return env::to_ms(real_clock.monotonic() - before) / 1e3;
}

void read_all(const std::string& socket, const Numbers& numbers) {
    capture::ReadOptions options;
    options.connections = static_cast<unsigned>(numbers.at("--connections"));
    options.request_bytes = static_cast<std::uint32_t>(numbers.at("--request-kib") << 10);
    options.in_flight_max = static_cast<unsigned>(numbers.at("--in-flight"));
    const auto source = capture::connect_nbd({socket, "", ""}, options, real_clock).value();
    const auto plan = source->plan(ByteCount{64u << 10}, {}, {}).value();
    const auto nowhere = [](ByteOffset, ByteView) { return Status{}; };
    const Status read = source->read(plan.read, 1, nowhere, {});
    if (!read || plan.read_bytes() != source->size()) throw std::runtime_error("incomplete read");
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

double best(const std::vector<double>& values) {
    return *std::max_element(values.begin(), values.end());
}

Map measure(const std::string& socket, const Numbers& numbers) {
    const double size_mib = static_cast<double>(numbers.at("--mib"));
    std::vector<double> ours;
    std::vector<double> theirs;
    for (std::uint64_t n = 0; n < numbers.at("--rounds"); ++n) {
        theirs.push_back(size_mib / seconds_of([&] {
                             test::run({"nbdcopy", "nbd+unix:///?socket=" + socket, "null:"});
                         }));
        ours.push_back(size_mib / seconds_of([&] { read_all(socket, numbers); }));
    }
    return {{"capture_mib_s", median(ours)},
            {"nbdcopy_mib_s", median(theirs)},
            {"ratio", median(ours) / median(theirs)},
            {"ratio_best", best(ours) / best(theirs)},  // what a busy machine disturbs least
            {"capture_all", Array(ours.begin(), ours.end())},
            {"nbdcopy_all", Array(theirs.begin(), theirs.end())}};
}

}  // namespace

int main(int argc, char** argv) {
    Numbers numbers{{"--mib", 1024},
                    {"--rounds", 5},
                    {"--connections", 2},
                    {"--request-kib", 256},
                    {"--in-flight", 32}};
    for (int n = 1; n + 1 < argc; n += 2) {
        if (!numbers.contains(argv[n])) {
            std::fprintf(stderr, "unknown option %s\n", argv[n]);
            return 2;
        }
        numbers[argv[n]] = std::stoull(argv[n + 1]);
    }
    const auto folder =
        env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-bench-").value();
    const env::Path image = folder.path() / "disk";
    write_random(image, numbers["--mib"] * mib);
    Map report;
    for (const auto& [name, value] : numbers) report[name.substr(2)] = value;
    {
        const auto server = test::NbdServer::qemu_nbd({"-r", "-f", "raw", "-e", "16", image});
        report["qemu_nbd"] = measure(server.socket(), numbers);
    }
    const auto server = test::NbdServer::nbdkit({"file", image});
    report["nbdkit"] = measure(server.socket(), numbers);
    std::puts(serialization::to_json(report, serialization::JsonStyle::indented).c_str());
    return 0;
}
