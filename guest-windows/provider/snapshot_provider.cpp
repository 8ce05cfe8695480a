#include "provider/snapshot_provider.hpp"

#include <windows.h>
// after windows.h
#include <vsprov.h>
#include <vss.h>
#include <vsserror.h>

#include <bit>
#include <type_traits>

#include "os/com.hpp"
#include "provider/provider_ids.hpp"

namespace stillpoint::windows_guest {
namespace {

using os::same_guid;

HoldGate::SetId set_of(const VSS_ID& id) {
    return std::bit_cast<HoldGate::SetId>(id);
}

/// They live as long as the server, so references are only counted for COM's eyes.
template <class... Interfaces>
class Lasting : public Interfaces... {
public:
    ULONG STDMETHODCALLTYPE AddRef() override { return 2; }
    ULONG STDMETHODCALLTYPE Release() override { return 1; }
};

/// Of snapshots that the host took we know none.
class NoObjects final : public Lasting<IVssEnumObject> {
public:
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID id, void** out) override {
        if (!same_guid(id, IID_IUnknown) && !same_guid(id, IID_IVssEnumObject)) {
            *out = nullptr;
            return E_NOINTERFACE;
        }
        *out = static_cast<IVssEnumObject*>(this);
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE Next(ULONG, VSS_OBJECT_PROP*, ULONG* fetched) override {
        if (fetched != nullptr) *fetched = 0;
        return S_FALSE;
    }
    HRESULT STDMETHODCALLTYPE Skip(ULONG) override { return S_FALSE; }
    HRESULT STDMETHODCALLTYPE Reset() override { return S_OK; }
    HRESULT STDMETHODCALLTYPE Clone(IVssEnumObject** out) override {
        *out = this;
        return S_OK;
    }
};

/// Between PreCommitSnapshots and the return of CommitSnapshots it touches the gate and nothing
/// else. Returns only what VSS accepts from a provider; why it vetoed, the agent knows.
class SnapshotProvider final
    : public Lasting<IVssSoftwareSnapshotProvider, IVssProviderCreateSnapshotSet,
                     IVssProviderNotifications> {
public:
    SnapshotProvider(HoldGate& gate, NoObjects& nothing) : gate_(gate), nothing_(nothing) {}

    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID id, void** out) override {
        IUnknown* found = nullptr;
        if (same_guid(id, IID_IUnknown) || same_guid(id, IID_IVssSoftwareSnapshotProvider)) {
            found = static_cast<IVssSoftwareSnapshotProvider*>(this);
        } else if (same_guid(id, IID_IVssProviderCreateSnapshotSet)) {
            found = static_cast<IVssProviderCreateSnapshotSet*>(this);
        } else if (same_guid(id, IID_IVssProviderNotifications)) {
            found = static_cast<IVssProviderNotifications*>(this);
        }
        *out = found;
        return found == nullptr ? E_NOINTERFACE : S_OK;
    }

    HRESULT STDMETHODCALLTYPE SetContext(LONG) override { return S_OK; }
    HRESULT STDMETHODCALLTYPE GetSnapshotProperties(VSS_ID, VSS_SNAPSHOT_PROP*) override {
        return VSS_E_OBJECT_NOT_FOUND;
    }
    HRESULT STDMETHODCALLTYPE Query(VSS_ID, VSS_OBJECT_TYPE, VSS_OBJECT_TYPE,
                                    IVssEnumObject** out) override {
        *out = &nothing_;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE DeleteSnapshots(VSS_ID, VSS_OBJECT_TYPE, WINBOOL, LONG* deleted,
                                              VSS_ID*) override {
        *deleted = 0;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE BeginPrepareSnapshot(VSS_ID set, VSS_ID, VSS_PWSZ, LONG) override {
        return gate_.begin(set_of(set)) ? S_OK : VSS_E_PROVIDER_VETO;
    }
    HRESULT STDMETHODCALLTYPE IsVolumeSupported(VSS_PWSZ, WINBOOL* supported) override {
        // Else Windows's own backups and restore points would be given to us.
        *supported = gate_.armed() ? TRUE : FALSE;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE IsVolumeSnapshotted(VSS_PWSZ, WINBOOL* present,
                                                  LONG* capability) override {
        *present = FALSE;
        *capability = 0;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE SetSnapshotProperty(VSS_ID, VSS_SNAPSHOT_PROPERTY_ID,
                                                  VARIANT) override {
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE RevertToSnapshot(VSS_ID) override { return VSS_E_PROVIDER_VETO; }
    HRESULT STDMETHODCALLTYPE QueryRevertStatus(VSS_PWSZ, IVssAsync** out) override {
        *out = nullptr;
        return VSS_E_PROVIDER_VETO;
    }

    HRESULT STDMETHODCALLTYPE EndPrepareSnapshots(VSS_ID) override { return S_OK; }
    HRESULT STDMETHODCALLTYPE PreCommitSnapshots(VSS_ID set) override {
        gate_.freezing(set_of(set));
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE CommitSnapshots(VSS_ID set) override {
        return gate_.hold(set_of(set)) ? S_OK : VSS_E_PROVIDER_VETO;
    }
    HRESULT STDMETHODCALLTYPE PostCommitSnapshots(VSS_ID, LONG) override { return S_OK; }
    HRESULT STDMETHODCALLTYPE PreFinalCommitSnapshots(VSS_ID) override { return S_OK; }
    HRESULT STDMETHODCALLTYPE PostFinalCommitSnapshots(VSS_ID) override { return S_OK; }
    HRESULT STDMETHODCALLTYPE AbortSnapshots(VSS_ID) override {
        gate_.release();
        return S_OK;
    }

    HRESULT STDMETHODCALLTYPE OnLoad(IUnknown*) override { return S_OK; }
    HRESULT STDMETHODCALLTYPE OnUnload(WINBOOL) override { return S_OK; }

private:
    HoldGate& gate_;
    NoObjects& nothing_;
};

static_assert(!std::has_virtual_destructor_v<IVssSoftwareSnapshotProvider> &&
              !std::has_virtual_destructor_v<IVssProviderCreateSnapshotSet>);

class ProviderFactory final : public Lasting<IClassFactory> {
public:
    explicit ProviderFactory(SnapshotProvider& provider) : provider_(provider) {}
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID id, void** out) override {
        if (!same_guid(id, IID_IUnknown) && !same_guid(id, IID_IClassFactory)) {
            *out = nullptr;
            return E_NOINTERFACE;
        }
        *out = static_cast<IClassFactory*>(this);
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE CreateInstance(IUnknown* outer, REFIID id, void** out) override {
        *out = nullptr;
        return outer != nullptr ? CLASS_E_NOAGGREGATION : provider_.QueryInterface(id, out);
    }
    HRESULT STDMETHODCALLTYPE LockServer(WINBOOL) override { return S_OK; }

private:
    SnapshotProvider& provider_;
};

}  // namespace

struct ProviderServer::Objects {
    explicit Objects(HoldGate& gate) : provider(gate, nothing), factory(provider) {}
    NoObjects nothing;
    SnapshotProvider provider;
    ProviderFactory factory;
    DWORD registration = 0;
};

ProviderServer::ProviderServer(std::unique_ptr<Objects> objects) : objects_(std::move(objects)) {}

Result<std::unique_ptr<ProviderServer>> ProviderServer::start(HoldGate& gate) {
    auto objects = std::make_unique<Objects>(gate);
    const HRESULT done =
        ::CoRegisterClassObject(provider_class_id, &objects->factory, CLSCTX_LOCAL_SERVER,
                                REGCLS_MULTIPLEUSE, &objects->registration);
    if (FAILED(done)) {
        return fail(Errc::io, "vss.provider",
                    "COM does not take our snapshot provider: " +
                        os::windows_error(static_cast<unsigned long>(done)));
    }
    return std::unique_ptr<ProviderServer>{new ProviderServer{std::move(objects)}};
}

ProviderServer::~ProviderServer() {
    ::CoRevokeClassObject(objects_->registration);
    // VSS may hold references to any of them, and they end with us.
    ::CoDisconnectObject(&objects_->factory, 0);
    ::CoDisconnectObject(static_cast<IVssSoftwareSnapshotProvider*>(&objects_->provider), 0);
    ::CoDisconnectObject(&objects_->nothing, 0);
}

}  // namespace stillpoint::windows_guest
