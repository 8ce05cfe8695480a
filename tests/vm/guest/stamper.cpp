// Writes stamps to two disks in the guest, and judges the stamps of a restored pair.
//
//   stamper run DIR-A DIR-B      for ever: the next counter to A, sync A, the same to B, sync B
//   stamper check DIR-A DIR-B    prints what it found as JSON; status 0 when no stamp is torn
//
// A stamp is 64 KiB written by one write(): a frozen filesystem holds it whole or not at all, while
// a picture taken without a freeze may hold a part of its pages.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t words_per_stamp = 8192;  // 64 KiB: sixteen pages
constexpr std::size_t stamp_bytes = words_per_stamp * sizeof(std::uint64_t);
constexpr std::uint64_t slots = 64;                     // 4 MiB per disk, rewritten in a ring
constexpr std::uint64_t magic = 0x317073706d617473ull;  // tells a stamp from an empty slot
constexpr std::uint64_t rounds_per_rename = 8;

using Stamp = std::array<std::uint64_t, words_per_stamp>;  // magic, counter, filling, checksum

std::uint64_t checksum(const Stamp& stamp) {
    std::uint64_t hash = 0xcbf29ce484222325ull;
    for (std::size_t i = 0; i + 1 < stamp.size(); ++i)
        hash = (hash ^ stamp[i]) * 0x100000001b3ull + (hash >> 29);
    return hash;
}

void fill(Stamp& stamp, std::uint64_t counter) {
    std::uint64_t state = counter * 0x9e3779b97f4a7c15ull + 1;
    for (std::uint64_t& word : stamp) {  // xorshift: incompressible, another one every round
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word = state;
    }
    stamp[0] = magic;
    stamp[1] = counter;
    stamp.back() = checksum(stamp);
}

class Disk {
public:
    explicit Disk(std::string folder)
        : folder_(std::move(folder)),
          fd_(::open((folder_ + "/stamps").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {}
    Disk(const Disk&) = delete;
    Disk& operator=(const Disk&) = delete;
    ~Disk() {
        if (fd_ >= 0) ::close(fd_);
    }

    bool write(const Stamp& stamp) const {
        const auto at = static_cast<off_t>((stamp[1] % slots) * stamp_bytes);
        return ::pwrite(fd_, stamp.data(), stamp_bytes, at) == ssize_t{stamp_bytes} &&
               ::fdatasync(fd_) == 0;
    }

    /// Some metadata traffic: a new file takes the place of the old one.
    bool rename(std::uint64_t counter) const {
        const std::string fresh = folder_ + "/latest.new";
        const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0) return false;
        const std::string text = std::to_string(counter) + "\n";
        const bool written = ::write(fd, text.data(), text.size()) == ssize_t(text.size());
        return ::close(fd) == 0 && written &&
               ::rename(fresh.c_str(), (folder_ + "/latest").c_str()) == 0;
    }

    bool read(std::uint64_t slot, Stamp& stamp) const {
        const auto at = static_cast<off_t>(slot * stamp_bytes);
        return ::pread(fd_, stamp.data(), stamp_bytes, at) == ssize_t{stamp_bytes};
    }

private:
    std::string folder_;
    int fd_;
};

int run(const Disk& a, const Disk& b) {
    Stamp stamp{};
    for (std::uint64_t counter = 1;; ++counter) {
        fill(stamp, counter);
        if (!a.write(stamp) || !b.write(stamp)) break;
        if (counter % rounds_per_rename == 0 && (!a.rename(counter) || !b.rename(counter))) break;
        if (counter == slots) std::puts("stamper: every slot written"), std::fflush(stdout);
    }
    std::perror("stamper");
    return 1;
}

struct Found {
    std::uint64_t newest = 0;
    std::uint64_t stamps = 0;
    std::uint64_t torn = 0;
    std::uint64_t missing = 0;  // older than the newest, yet not there: a lost write
};

Found examine(const Disk& disk) {
    Found found;
    std::vector<std::uint64_t> counters;
    Stamp stamp{};
    for (std::uint64_t slot = 0; slot < slots && disk.read(slot, stamp); ++slot) {
        const bool empty = std::all_of(stamp.begin(), stamp.end(), [](auto w) { return w == 0; });
        if (empty) continue;
        if (stamp[0] != magic || stamp[1] % slots != slot || stamp.back() != checksum(stamp))
            ++found.torn;
        else
            counters.push_back(stamp[1]);
    }
    found.stamps = counters.size();
    for (const std::uint64_t counter : counters) found.newest = std::max(found.newest, counter);
    const std::uint64_t oldest = found.newest < slots ? 1 : found.newest - slots + 1;
    for (std::uint64_t counter = oldest; counter <= found.newest; ++counter)
        if (std::find(counters.begin(), counters.end(), counter) == counters.end()) ++found.missing;
    return found;
}

std::string json(const Found& found) {
    return "{\"newest\":" + std::to_string(found.newest) +
           ",\"stamps\":" + std::to_string(found.stamps) +
           ",\"torn\":" + std::to_string(found.torn) +
           ",\"missing\":" + std::to_string(found.missing) + "}";
}

int check(const Disk& a, const Disk& b) {
    const Found on_a = examine(a);
    const Found on_b = examine(b);
    std::puts(("{\"a\":" + json(on_a) + ",\"b\":" + json(on_b) + "}").c_str());
    return on_a.torn + on_b.torn == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view verb = argc == 4 ? argv[1] : "";
    if (verb != "run" && verb != "check") {
        std::fputs("usage: stamper run|check DIR-A DIR-B\n", stderr);
        return 2;
    }
    const Disk a(argv[2]);
    const Disk b(argv[3]);
    return verb == "run" ? run(a, b) : check(a, b);
}
