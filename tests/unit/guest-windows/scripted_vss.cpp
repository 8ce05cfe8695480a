#include "scripted_vss.hpp"

namespace stillpoint::test {
namespace {

using namespace windows_guest;

constexpr HoldGate::SetId set{std::byte{1}};

class Session final : public VssSession {
public:
    explicit Session(ScriptedVss& vss) : vss_(vss) {}
    ~Session() override { (void)vss_.play("release"); }

    VssResult<std::vector<serialization::Evidence>> open(const VssOptions& options) override {
        const bool all = options.writers == VssOptions::Writers::all;
        const bool full = options.type == serialization::BackupType::full;
        const char* const context[] = {"", "-plain", "-small"};
        const auto done =
            cancelled_
                ? VssStatus{tl::unexpected(VssError{"open", vss::async_cancelled, {}})}
                : vss_.play(std::string("open") + (all ? "" : "-bare") + (full ? "" : "-copy") +
                            context[static_cast<int>(options.context)]);
        if (!done) return tl::unexpected(done.error());
        return std::vector<serialization::Evidence>{};
    }
    VssStatus add_volumes(std::span<const GuestVolume> volumes) override {
        for (const GuestVolume& volume : volumes) {
            if (auto added = vss_.play("add " + volume.name, volume.name); !added) return added;
        }
        auto added = vss_.play("add");
        if (added && vss_.gate != nullptr && !vss_.gate->begin(set)) {
            return tl::unexpected(VssError{"add", vss::volume_not_supported_by_provider, {}});
        }
        return added;
    }
    VssStatus prepare() override {
        after_ = "prepare";
        return vss_.play("prepare");
    }
    VssStatus snapshot() override {
        after_ = "snapshot";
        auto told = vss_.play("snapshot");
        if (vss_.before_commit) vss_.before_commit();
        if (cancelled_) return tl::unexpected(VssError{"snapshot", vss::async_cancelled, {}});
        if (vss_.gate != nullptr && told) {
            vss_.gate->freezing(set);
            if (!vss_.gate->hold(set)) {
                return tl::unexpected(VssError{"snapshot", vss::provider_veto, {}});
            }
        }
        return told;
    }
    VssResult<std::vector<WriterStatus>> status() override {
        if (vss_.before_status) {
            vss_.before_status(cancelled_);
            if (cancelled_) return tl::unexpected(VssError{"status", vss::async_cancelled, {}});
        }
        if (auto done = vss_.play("status"); !done) return tl::unexpected(done.error());
        return vss_.status_after(after_);
    }
    VssStatus complete(std::span<const std::string> held) override {
        after_ = "complete";
        vss_.succeeded.assign(held.begin(), held.end());
        return vss_.play("complete");
    }
    void abort() noexcept override { (void)vss_.play("abort"); }
    void cancel() noexcept override { cancelled_ = true; }

private:
    ScriptedVss& vss_;
    std::string after_ = "prepare";
    std::atomic<bool> cancelled_{false};
};

}  // namespace

OpenVss ScriptedVss::opener() {
    return [this] { return std::unique_ptr<VssSession>{std::make_unique<Session>(*this)}; };
}

std::string ScriptedVss::calls() {
    const std::scoped_lock guard{lock_};
    return calls_;
}

VssStatus ScriptedVss::play(const std::string& call, const std::string& object) {
    const std::scoped_lock guard{lock_};
    if (object.empty()) calls_ += (calls_.empty() ? "" : " ") + call;
    auto& told = ends[call];
    if (told.empty()) return {};
    const Hresult end = told.front();
    told.erase(told.begin());
    if (end == vss::ok) return {};
    return tl::unexpected(VssError{call, end, object});
}

std::vector<WriterStatus> ScriptedVss::status_after(const std::string& call) {
    const std::scoped_lock guard{lock_};
    if (const auto told = says.find(call); told != says.end()) return told->second;
    const WriterState state =
        call == "snapshot" ? WriterState::waiting_for_backup_complete : WriterState::stable;
    std::vector<WriterStatus> all;
    for (const std::string& name : writers) {
        all.push_back({name, "{class " + name + "}", "{instance " + name + "}", state, vss::ok});
    }
    return all;
}

}  // namespace stillpoint::test
