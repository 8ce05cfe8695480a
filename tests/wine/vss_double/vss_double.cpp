#include <array>
#include <set>

#include "async.hpp"
#include "metadata.hpp"
#include "provider/provider_ids.hpp"
#include "script.hpp"
// after windows.h
#include <vsprov.h>
#include <vsserror.h>

/// A vssapi.dll that plays VSS and its writers by a script (script.hpp), and calls the snapshot
/// provider as VSS does. It insists on the order of the calls: out of order is VSS_E_BAD_STATE.
/// What it cannot show: other processes, their rights, and writes that are really held.
namespace stillpoint::vss_double {
namespace {

Script& script() {
    static Script read;
    return read;
}

std::string hex(HRESULT code) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "0x%08lx", static_cast<unsigned long>(code));
    return text.data();
}

template <class T>
T* query(IUnknown* object, REFIID id) {
    void* out = nullptr;
    return SUCCEEDED(object->QueryInterface(id, &out)) ? static_cast<T*>(out) : nullptr;
}

/// Never that of an earlier backup: who still speaks of that one is late.
VSS_ID next_set() {
    static std::atomic<unsigned long> sets{0x53c0ffee};
    return {++sets, 3, 3, {3, 3, 3, 3, 3, 3, 3, 3}};
}

class Backup final : public Counted<DefaultIVssBackupComponents> {
public:
    enum class Step { made, initialized, started, prepared, taken, failed, ended };

    Backup() { script().note("Create"); }
    ~Backup() override {
        script().note("Release");
        if (provider_ != nullptr) provider_->Release();
    }

    HRESULT STDMETHODCALLTYPE InitializeForBackup(BSTR) override {
        return go("InitializeForBackup", Step::made, Step::initialized);
    }
    HRESULT STDMETHODCALLTYPE SetBackupState(boolean components, boolean, VSS_BACKUP_TYPE type,
                                             boolean) override {
        script().note(std::string("SetBackupState components=") + (components ? "1" : "0") +
                      " type=" + (type == VSS_BT_FULL ? "full" : "copy"));
        return ready("SetBackupState", Step::initialized);
    }
    HRESULT STDMETHODCALLTYPE SetContext(LONG context) override {
        script().note("SetContext " + hex(context));
        return ready("SetContext", Step::initialized);
    }
    HRESULT STDMETHODCALLTYPE GatherWriterMetadata(IVssAsync** out) override {
        return async("GatherWriterMetadata", out, [this] {
            after_ = "GatherWriterMetadata";
            return VSS_S_ASYNC_FINISHED;
        });
    }
    HRESULT STDMETHODCALLTYPE GetWriterMetadataCount(UINT* count) override {
        *count = static_cast<UINT>(script().writers().size());
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE GetWriterMetadata(UINT index, VSS_ID* instance,
                                                IVssExamineWriterMetadata** out) override {
        *instance = instance_id(index);
        *out = std::make_unique<Metadata>(index, script().writers()[index].name).release();
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE FreeWriterMetadata() override { return S_OK; }
    HRESULT STDMETHODCALLTYPE DisableWriterInstances(const VSS_ID* ids, UINT count) override {
        for (UINT i = 0; i < count; ++i) disabled_.insert(ids[i].Data1);
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE AddComponent(VSS_ID, VSS_ID writer, VSS_COMPONENT_TYPE, LPCWSTR,
                                           LPCWSTR) override {
        script().note("AddComponent " + name_of(writer));
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE StartSnapshotSet(VSS_ID* set) override {
        *set = set_;
        unprepared_ = departs("unprepared");
        return go("StartSnapshotSet", Step::initialized, Step::started);
    }
    HRESULT STDMETHODCALLTYPE AddToSnapshotSet(VSS_PWSZ volume, VSS_ID provider,
                                               VSS_ID* snapshot) override;
    HRESULT STDMETHODCALLTYPE PrepareForBackup(IVssAsync** out) override {
        return async("PrepareForBackup", out, [this] {
            after_ = "PrepareForBackup";
            return VSS_S_ASYNC_FINISHED;
        });
    }
    HRESULT STDMETHODCALLTYPE DoSnapshotSet(IVssAsync** out) override {
        return async("DoSnapshotSet", out, [this] { return take(); });
    }
    HRESULT STDMETHODCALLTYPE GatherWriterStatus(IVssAsync** out) override {
        return async("GatherWriterStatus", out, [] { return VSS_S_ASYNC_FINISHED; });
    }
    HRESULT STDMETHODCALLTYPE GetWriterStatusCount(UINT* count) override {
        return GetWriterMetadataCount(count);
    }
    HRESULT STDMETHODCALLTYPE FreeWriterStatus() override { return S_OK; }
    HRESULT STDMETHODCALLTYPE GetWriterStatus(UINT index, VSS_ID* instance, VSS_ID* writer,
                                              BSTR* name, VSS_WRITER_STATE* state,
                                              HRESULT* failure) override;
    HRESULT STDMETHODCALLTYPE SetBackupSucceeded(VSS_ID, VSS_ID writer, VSS_COMPONENT_TYPE, LPCWSTR,
                                                 LPCWSTR, boolean good) override {
        script().note("SetBackupSucceeded " + name_of(writer) + (good ? " yes" : " no"));
        return static_cast<HRESULT>(script().play("SetBackupSucceeded").result);
    }
    HRESULT STDMETHODCALLTYPE BackupComplete(IVssAsync** out) override {
        if (step_ != Step::taken) return out_of_order("BackupComplete");
        step_ = Step::ended;
        return async("BackupComplete", out, [this] {
            after_ = "BackupComplete";
            return VSS_S_ASYNC_FINISHED;
        });
    }
    HRESULT STDMETHODCALLTYPE AbortBackup() override {
        script().note("AbortBackup");
        step_ = Step::ended;
        return S_OK;
    }

private:
    static HRESULT out_of_order(const std::string& call) {
        script().note(call + " OUT OF ORDER");
        return VSS_E_BAD_STATE;
    }
    HRESULT ready(const std::string& call, Step needed) {
        if (step_ != needed) return out_of_order(call);
        return static_cast<HRESULT>(script().play(call).result);
    }
    HRESULT go(const std::string& call, Step from, Step to) {
        script().note(call);
        const HRESULT result = ready(call, from);
        if (SUCCEEDED(result)) step_ = to;
        return result;
    }
    HRESULT async(const std::string& call, IVssAsync** out, const Async::Work& work) {
        script().note(call);
        const Call told = script().play(call);
        if (told.result != 0) return static_cast<HRESULT>(told.result);
        *out = Async::start([work, told] {
            const HRESULT result = work();
            return told.async == 0 ? result : static_cast<HRESULT>(told.async);
        });
        return S_OK;
    }
    static std::string name_of(const VSS_ID& id) {
        return script().writers()[id.Data1 & 0xffu].name;
    }
    HRESULT take();
    HRESULT commit(IVssProviderCreateSnapshotSet& snapshots);
    static HRESULT hold(IVssProviderCreateSnapshotSet& snapshots, const VSS_ID& set);
    /// Whether the script wants the provider to be called out of order in this way, now.
    static bool departs(const char* way) { return script().play(way).result != 0; }

    const VSS_ID set_ = next_set();
    Step step_ = Step::made;
    std::string after_;
    bool unprepared_ = false;
    std::set<unsigned long> disabled_;
    IVssSoftwareSnapshotProvider* provider_ = nullptr;
};

HRESULT Backup::AddToSnapshotSet(VSS_PWSZ volume, VSS_ID provider, VSS_ID* snapshot) {
    const std::wstring wide{volume};
    script().note("AddToSnapshotSet " + std::string{wide.begin(), wide.end()});
    if (const HRESULT in_order = ready("AddToSnapshotSet", Step::started); FAILED(in_order)) {
        return in_order;
    }
    if (!::InlineIsEqualGUID(provider, windows_guest::provider_id)) {
        return VSS_E_PROVIDER_NOT_REGISTERED;
    }
    void* made = provider_;
    if (provider_ == nullptr &&
        FAILED(::CoCreateInstance(windows_guest::provider_class_id, nullptr,
                                  CLSCTX_INPROC_SERVER | CLSCTX_LOCAL_SERVER,
                                  IID_IVssSoftwareSnapshotProvider, &made))) {
        return VSS_E_PROVIDER_NOT_REGISTERED;
    }
    provider_ = static_cast<IVssSoftwareSnapshotProvider*>(made);
    WINBOOL supported = FALSE;
    provider_->IsVolumeSupported(volume, &supported);
    if (!supported) return VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER;
    *snapshot = set_;
    if (unprepared_) return S_OK;
    return provider_->BeginPrepareSnapshot(set_, *snapshot, volume, 0);
}

HRESULT Backup::take() {
    after_ = "DoSnapshotSet";
    auto* snapshots =
        query<IVssProviderCreateSnapshotSet>(provider_, IID_IVssProviderCreateSnapshotSet);
    HRESULT result = snapshots == nullptr ? E_NOINTERFACE : commit(*snapshots);
    if (snapshots != nullptr) snapshots->Release();
    const Call told = script().play("CommitSnapshots");
    if (told.result != 0) result = static_cast<HRESULT>(told.result);
    step_ = SUCCEEDED(result) ? Step::taken : Step::failed;
    return SUCCEEDED(result) ? VSS_S_ASYNC_FINISHED : result;
}

HRESULT Backup::commit(IVssProviderCreateSnapshotSet& snapshots) {
    if (FAILED(snapshots.EndPrepareSnapshots(set_)) || FAILED(snapshots.PreCommitSnapshots(set_))) {
        snapshots.AbortSnapshots(set_);
        return VSS_E_PROVIDER_VETO;
    }
    if (departs("aborted")) snapshots.AbortSnapshots(set_);
    VSS_ID set = set_;
    if (departs("other-set")) set = next_set();
    HRESULT committed = hold(snapshots, set);
    if (departs("again")) committed = hold(snapshots, set);
    if (SUCCEEDED(committed)) {
        snapshots.PostCommitSnapshots(set_, 1);
    } else {
        snapshots.AbortSnapshots(set_);
    }
    return committed;
}

HRESULT Backup::hold(IVssProviderCreateSnapshotSet& snapshots, const VSS_ID& set) {
    const ULONGLONG start = ::GetTickCount64();
    const HRESULT committed = snapshots.CommitSnapshots(set);
    script().note("CommitSnapshots " + hex(committed) +
                  " held_ms=" + std::to_string(::GetTickCount64() - start));
    return committed;
}

HRESULT Backup::GetWriterStatus(UINT index, VSS_ID* instance, VSS_ID* writer, BSTR* name,
                                VSS_WRITER_STATE* state, HRESULT* failure) {
    const Writer& played = script().writers()[index];
    *instance = instance_id(index);
    *writer = writer_id(index);
    *name = to_bstr(played.name);
    *failure = S_OK;
    *state = after_ == "DoSnapshotSet" ? VSS_WS_WAITING_FOR_BACKUP_COMPLETE : VSS_WS_STABLE;
    if (const auto told = played.after.find(after_); told != played.after.end()) {
        *state = static_cast<VSS_WRITER_STATE>(told->second.state);
        *failure = static_cast<HRESULT>(told->second.failure);
    }
    return S_OK;
}

}  // namespace
}  // namespace stillpoint::vss_double

extern "C" HRESULT STDAPICALLTYPE CreateVssBackupComponentsInternal(IVssBackupComponents** out) {
    using namespace stillpoint::vss_double;
    const Call told = script().play("CreateVssBackupComponents");
    if (told.result != 0) return static_cast<HRESULT>(told.result);
    *out = std::make_unique<Backup>().release();
    return S_OK;
}
