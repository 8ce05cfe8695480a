#pragma once
#include <atomic>
#include <functional>
#include <mutex>
#include <string>

#include "vault/block_store.hpp"

namespace stillpoint::fakes {

/// Another store that lets somebody else act just before one of its calls: what others do to the
/// vault while a process stands still. @threads any; the hook runs on the caller's
class HookStore final : public vault::BlockStore {
public:
    using Hook = std::function<void()>;
    /// Says whether a call ("put points/…", "list runs/") is the one; asked until it says yes.
    using When = std::function<bool(const std::string& call)>;

    HookStore(vault::BlockStore& below, When when, Hook hook)
        : below_(below), when_(std::move(when)), hook_(std::move(hook)) {}

    Status put(const std::string& name, ByteView bytes) override {
        before("put " + name);
        return below_.put(name, bytes);
    }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        before("get " + name);
        return below_.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override {
        before("size " + name);
        return below_.size(name);
    }
    Result<std::vector<vault::ObjectInfo>> list(const std::string& prefix) override {
        before("list " + prefix);
        return below_.list(prefix);
    }
    Status remove(const std::string& name) override {
        before("remove " + name);
        return below_.remove(name);
    }
    [[nodiscard]] std::string describe() const override { return below_.describe(); }
    [[nodiscard]] bool struck() const { return struck_; }

private:
    void before(const std::string& call) {
        {
            const std::scoped_lock lock{mutex_};
            if (struck_ || !when_(call)) return;
            struck_ = true;
        }
        hook_();
    }
    vault::BlockStore& below_;
    std::mutex mutex_;  // guards when_
    When when_;
    Hook hook_;
    std::atomic<bool> struck_{false};
};

/// The call of this number, counted from 0.
inline HookStore::When at_call(std::size_t number) {
    return [left = number](const std::string&) mutable { return left-- == 0; };
}

}  // namespace stillpoint::fakes
