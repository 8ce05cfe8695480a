#include "vss/com_session.hpp"

#include <algorithm>
#include <atomic>

#include "os/com.hpp"
#include "provider/provider_ids.hpp"
#include "vss/component_plan.hpp"
#include "vss/vss_library.hpp"

namespace stillpoint::windows_guest {
namespace {

using os::ComPtr;
using serialization::Evidence;
using Writers = VssOptions::Writers;

// Writers have 60 seconds for their freeze; metadata of many databases takes as long (I9).
constexpr os::nanoseconds call_max = std::chrono::seconds{180};
constexpr DWORD poll_ms = 250;

LONG context_of(const VssOptions& options) {
    if (options.writers == Writers::none) {
        return static_cast<LONG>(VSS_CTX_NAS_ROLLBACK);
    }
    // The "shadow" is the host's snapshot, which nobody in the guest can write to: no
    // auto-recovery.
    LONG context = static_cast<LONG>(VSS_CTX_APP_ROLLBACK) |
                   static_cast<LONG>(VSS_VOLSNAP_ATTR_NO_AUTORECOVERY);
    if (options.context != SnapshotContext::without_transactions) {
        context |= static_cast<LONG>(VSS_VOLSNAP_ATTR_TXF_RECOVERY);
    }
    if (options.context == SnapshotContext::transportable) {
        context |= static_cast<LONG>(VSS_VOLSNAP_ATTR_TRANSPORTABLE);
    }
    return context;
}

struct AddedComponent {
    VSS_ID instance{};
    VSS_ID writer{};
    WriterComponent component;
};

class ComSession final : public VssSession {
public:
    VssResult<std::vector<Evidence>> open(const VssOptions& options) override;
    VssStatus add_volumes(std::span<const GuestVolume> volumes) override;
    VssStatus prepare() override;
    VssStatus snapshot() override;
    VssResult<std::vector<WriterStatus>> status() override;
    VssStatus complete(std::span<const std::string> held) override;
    void abort() noexcept override {
        if (backup_) backup_->AbortBackup();
    }
    void cancel() noexcept override { cancelled_ = true; }

private:
    using Begin = HRESULT (STDMETHODCALLTYPE IVssBackupComponents::*)(IVssAsync**);
    VssStatus run(const char* call, Begin begin);
    VssStatus await(const char* call, IVssAsync& async) const;
    VssResult<std::vector<Evidence>> read_writers(const VssOptions& options);
    VssStatus read_components(IVssExamineWriterMetadata& metadata, const VSS_ID& instance,
                              const VSS_ID& writer, std::vector<AddedComponent>& out) const;
    VssStatus add_component(const AddedComponent& added);
    VssStatus judge_components(std::span<const std::string> held);

    ComPtr<IVssBackupComponents> backup_;
    std::vector<AddedComponent> components_;
    bool with_writers_ = false;
    std::atomic<bool> cancelled_{false};
};

VssStatus check(const char* call, HRESULT result, std::string object = {}) {
    if (SUCCEEDED(result)) return {};
    return tl::unexpected(VssError{call, static_cast<Hresult>(result), std::move(object)});
}

#define SP_VSS(call, result)                                   \
    do {                                                       \
        if (VssStatus sp_done = check(call, result); !sp_done) \
            return tl::unexpected(sp_done.error());            \
    } while (false)

/// "Pending" and "cancelled" count as success in COM: only "finished" is.
VssStatus ComSession::await(const char* call, IVssAsync& async) const {
    const os::nanoseconds until = os::now() + call_max;
    for (;;) {
        SP_VSS(call, async.Wait(poll_ms));
        HRESULT result = S_OK;
        SP_VSS(call, async.QueryStatus(&result, nullptr));
        const auto code = static_cast<Hresult>(result);
        if (code == vss::async_finished) return {};
        if (code != vss::async_pending) return tl::unexpected(VssError{call, code, {}});
        if (!cancelled_ && os::now() < until) continue;
        async.Cancel();
        const Hresult why = cancelled_ ? vss::async_cancelled : vss::async_pending;
        return tl::unexpected(VssError{call, why, {}});
    }
}

VssStatus ComSession::run(const char* call, Begin begin) {
    ComPtr<IVssAsync> async;
    SP_VSS(call, (backup_.get()->*begin)(async.out()));
    return await(call, *async.get());
}

VssResult<std::vector<Evidence>> ComSession::open(const VssOptions& options) {
    const auto made = create_backup_components();
    if (!made) return tl::unexpected(made.error());
    *backup_.out() = *made;
    with_writers_ = options.writers == Writers::all;
    const bool full = options.type == serialization::BackupType::full;
    SP_VSS("InitializeForBackup", backup_->InitializeForBackup(nullptr));
    SP_VSS("SetBackupState",
           backup_->SetBackupState(with_writers_ ? 1 : 0, 0, full ? VSS_BT_FULL : VSS_BT_COPY, 0));
    SP_VSS("SetContext", backup_->SetContext(context_of(options)));
    if (!with_writers_) return std::vector<Evidence>{};
    return read_writers(options);
}

VssResult<std::vector<Evidence>> ComSession::read_writers(const VssOptions& options) {
    if (auto done = run("GatherWriterMetadata", &IVssBackupComponents::GatherWriterMetadata);
        !done) {
        return tl::unexpected(done.error());
    }
    UINT count = 0;
    SP_VSS("GetWriterMetadataCount", backup_->GetWriterMetadataCount(&count));
    std::vector<Evidence> excluded;
    std::vector<AddedComponent> components;
    for (UINT i = 0; i < count; ++i) {
        VSS_ID instance{};
        ComPtr<IVssExamineWriterMetadata> metadata;
        SP_VSS("GetWriterMetadata", backup_->GetWriterMetadata(i, &instance, metadata.out()));
        VSS_ID writer{};
        VSS_USAGE_TYPE usage{};
        VSS_SOURCE_TYPE source{};
        os::Bstr name;
        SP_VSS("GetIdentity",
               metadata->GetIdentity(&instance, &writer, name.out(), &usage, &source));
        if (!options.chosen.leaves_out(name.text(), os::guid_text(writer))) {
            auto read = read_components(*metadata.get(), instance, writer, components);
            if (!read) return tl::unexpected(read.error());
            continue;
        }
        SP_VSS("DisableWriterInstances", backup_->DisableWriterInstances(&instance, 1));
        Evidence evidence;
        evidence.kind = serialization::EvidenceKind::writer;
        evidence.name = name.text();
        evidence.excluded = true;
        evidence.note = "excluded by guest.xml";
        excluded.push_back(std::move(evidence));
    }
    SP_VSS("FreeWriterMetadata", backup_->FreeWriterMetadata());
    for (const AddedComponent& component : components) {
        if (auto added = add_component(component); !added) return tl::unexpected(added.error());
    }
    components_ = std::move(components);
    return excluded;
}

VssStatus ComSession::read_components(IVssExamineWriterMetadata& metadata, const VSS_ID& instance,
                                      const VSS_ID& writer,
                                      std::vector<AddedComponent>& out) const {
    UINT includes = 0;
    UINT excludes = 0;
    UINT count = 0;
    SP_VSS("GetFileCounts", metadata.GetFileCounts(&includes, &excludes, &count));
    std::vector<WriterComponent> all;
    for (UINT i = 0; i < count; ++i) {
        ComPtr<IVssWMComponent> component;
        SP_VSS("GetComponent", metadata.GetComponent(i, component.out()));
        PVSSCOMPONENTINFO info = nullptr;
        SP_VSS("GetComponentInfo", component->GetComponentInfo(&info));
        all.push_back({static_cast<int>(info->type), os::to_utf8(info->bstrLogicalPath),
                       os::to_utf8(info->bstrComponentName), info->bSelectable != 0});
        component->FreeComponentInfo(info);
    }
    for (const std::size_t i : plan_components(all)) out.push_back({instance, writer, all[i]});
    return {};
}

VssStatus ComSession::add_component(const AddedComponent& added) {
    const std::wstring path = os::to_wide(added.component.logical_path);
    const std::wstring name = os::to_wide(added.component.name);
    return check("AddComponent",
                 backup_->AddComponent(added.instance, added.writer,
                                       static_cast<VSS_COMPONENT_TYPE>(added.component.type),
                                       path.empty() ? nullptr : path.c_str(), name.c_str()),
                 added.component.name);
}

VssStatus ComSession::add_volumes(std::span<const GuestVolume> volumes) {
    VSS_ID set{};
    SP_VSS("StartSnapshotSet", backup_->StartSnapshotSet(&set));
    for (const GuestVolume& volume : volumes) {
        std::wstring path = os::to_wide(volume.guid);
        VSS_ID snapshot{};
        auto added =
            check("AddToSnapshotSet",
                  backup_->AddToSnapshotSet(path.data(), provider_id, &snapshot), volume.name);
        if (!added) return added;
    }
    return {};
}

VssStatus ComSession::prepare() {
    if (!with_writers_) return {};
    return run("PrepareForBackup", &IVssBackupComponents::PrepareForBackup);
}

VssStatus ComSession::snapshot() {
    return run("DoSnapshotSet", &IVssBackupComponents::DoSnapshotSet);
}

VssResult<std::vector<WriterStatus>> ComSession::status() {
    if (auto done = run("GatherWriterStatus", &IVssBackupComponents::GatherWriterStatus); !done) {
        return tl::unexpected(done.error());
    }
    UINT count = 0;
    SP_VSS("GetWriterStatusCount", backup_->GetWriterStatusCount(&count));
    std::vector<WriterStatus> all;
    for (UINT i = 0; i < count; ++i) {
        VSS_ID instance{};
        VSS_ID writer{};
        os::Bstr name;
        VSS_WRITER_STATE state{};
        HRESULT failure = S_OK;
        SP_VSS("GetWriterStatus",
               backup_->GetWriterStatus(i, &instance, &writer, name.out(), &state, &failure));
        all.push_back({name.text(), os::guid_text(writer), os::guid_text(instance),
                       static_cast<WriterState>(state), static_cast<Hresult>(failure)});
    }
    backup_->FreeWriterStatus();
    return all;
}

/// One that VSS does not take keeps the others from nothing. @return the first failure
VssStatus ComSession::judge_components(std::span<const std::string> held) {
    VssStatus first;
    for (const AddedComponent& added : components_) {
        const std::wstring path = os::to_wide(added.component.logical_path);
        const std::wstring name = os::to_wide(added.component.name);
        const auto type = static_cast<VSS_COMPONENT_TYPE>(added.component.type);
        const bool good = std::ranges::find(held, os::guid_text(added.instance)) != held.end();
        const auto told = check(
            "SetBackupSucceeded",
            backup_->SetBackupSucceeded(added.instance, added.writer, type,
                                        path.empty() ? nullptr : path.c_str(), name.c_str(), good),
            added.component.name);
        if (!told && first) first = told;
    }
    return first;
}

VssStatus ComSession::complete(std::span<const std::string> held) {
    const VssStatus told = judge_components(held);
    const VssStatus done = run("BackupComplete", &IVssBackupComponents::BackupComplete);
    return done ? told : done;
}

}  // namespace

std::unique_ptr<VssSession> make_com_session() {
    return std::make_unique<ComSession>();
}

}  // namespace stillpoint::windows_guest
