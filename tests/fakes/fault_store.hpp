#pragma once
#include <algorithm>
#include <mutex>
#include <optional>
#include <string>

#include "vault/block_store.hpp"

namespace stillpoint::fakes {

/// What goes wrong at one call.
enum class Fault {
    none,
    fail,        // nothing is done, an error is returned; the store works on
    full,        // as fail, for want of space (puts only)
    lost,        // it is done, but the answer is an error (a lost acknowledgement)
    cut,         // the power goes before it is done: this and all later calls fail
    cut_after,   // the power goes once it is done
    torn,        // a put leaves its first half under the final name, then the power goes: a disk
                 // that lies about what is durable
    short_read,  // a get reaches the end of the object too early
    flip,        // a get answers with one bit flipped
};

/// Another store with one fault at the k-th call (0-based). Power stays off until a new FaultStore
/// is made over the same store. @threads any, concurrently
class FaultStore final : public vault::BlockStore {
public:
    explicit FaultStore(vault::BlockStore& below, Fault fault = Fault::none,
                        std::size_t at_call = 0)
        : below_(below), fault_(fault), at_call_(at_call) {}

    Status put(const std::string& name, ByteView bytes) override {
        const Fault now = next();
        if (now == Fault::torn) tear(name, bytes);
        if (stops(now)) return failure(now, "put " + name);
        Status done = below_.put(name, bytes);
        if (spoils(now)) return failure(now, "put " + name);
        return done;
    }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        const Fault now = next();
        if (stops(now)) return failure(now, "get " + name);
        auto bytes = below_.get(name, at, length);
        if (spoils(now)) return failure(now, "get " + name);
        if (now == Fault::short_read) {
            return stillpoint::fail(Errc::corrupt, "store.short", "object " + name + " is shorter");
        }
        if (now == Fault::flip && bytes && !bytes->empty()) {
            (*bytes)[bytes->size() / 2] ^= std::byte{0x10};
        }
        return bytes;
    }
    Result<ByteCount> size(const std::string& name) override {
        return around([&] { return below_.size(name); }, "size " + name);
    }
    Result<std::vector<vault::ObjectInfo>> list(const std::string& prefix) override {
        return around([&] { return below_.list(prefix); }, "list " + prefix);
    }
    Status remove(const std::string& name) override {
        return around([&] { return below_.remove(name); }, "remove " + name);
    }
    [[nodiscard]] std::string describe() const override { return below_.describe(); }

    [[nodiscard]] std::size_t calls() const {
        const std::scoped_lock lock{mutex_};
        return calls_;
    }
    /// The object of which only half is there; empty: none.
    [[nodiscard]] std::string torn() const {
        const std::scoped_lock lock{mutex_};
        return torn_;
    }
    /// Whether the fault has come.
    [[nodiscard]] bool struck() const { return fault_ != Fault::none && calls() > at_call_; }

private:
    Fault next() {
        const std::scoped_lock lock{mutex_};
        const std::size_t call = calls_++;
        const bool power =
            fault_ == Fault::cut || fault_ == Fault::cut_after || fault_ == Fault::torn;
        if (call > at_call_ && power) return Fault::cut;
        return call == at_call_ ? fault_ : Fault::none;
    }
    void tear(const std::string& name, ByteView bytes) {
        (void)below_.put(name, bytes.first(bytes.size() / 2));
        const std::scoped_lock lock{mutex_};
        torn_ = name;
    }
    static bool stops(Fault fault) {
        return fault == Fault::fail || fault == Fault::full || fault == Fault::cut ||
               fault == Fault::torn;
    }
    static bool spoils(Fault fault) { return fault == Fault::lost || fault == Fault::cut_after; }
    static tl::unexpected<Error> failure(Fault fault, const std::string& doing) {
        if (fault == Fault::full) {
            return stillpoint::fail(Errc::no_space, "os.enospc", doing + ": no space left");
        }
        return stillpoint::fail(Errc::io, "fake.fault", doing + ": fault on request");
    }
    template <class Do>
    auto around(Do&& act, const std::string& doing) -> decltype(act()) {
        const Fault now = next();
        if (stops(now)) return failure(now, doing);
        auto done = act();
        if (spoils(now)) return failure(now, doing);
        return done;
    }

    vault::BlockStore& below_;
    Fault fault_;
    std::size_t at_call_;
    mutable std::mutex mutex_;
    std::size_t calls_ = 0;
    std::string torn_;
};

}  // namespace stillpoint::fakes
